/** What can be done with a message. */
import type { ConversationView, MessageView } from "$lib/contract";

export type MessageAction = "reply" | "edit" | "delete" | "details";

/** What can be done with this one, here and now, in the order it is shown. */
export function actionsFor(message: MessageView, conversation: ConversationView): MessageAction[] {
  const { kind } = message.content;
  if (kind === "event" || kind === "deleted") return [];
  const writable = conversation.state !== "removed" && conversation.state !== "blocked";
  const actions: MessageAction[] = [];
  if (writable) actions.push("reply");
  if (writable && message.own && kind === "text") actions.push("edit");
  if (writable && message.own) actions.push("delete");
  if (message.own) actions.push("details");
  return actions;
}
