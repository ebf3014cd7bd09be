/** The menus beside the call's controls; at most one is open. */
export type CallMenu = "sound" | "camera" | undefined;

/** What the panel beside the picture shows. */
export type SideTab = "chat" | "files";
