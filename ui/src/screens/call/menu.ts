/** The menus beside the call's controls; at most one is open. */
export type CallMenu = "sound" | "camera" | undefined;
