/** The time of day for things that count: one timer for all who look, none while nobody does. */
import { createSubscriber } from "svelte/reactivity";

let now = Date.now();
const subscribe = createSubscriber((update) => {
  now = Date.now();
  const timer = setInterval(() => {
    now = Date.now();
    update();
  }, 250);
  return () => clearInterval(timer);
});

export const clock = {
  /** Milliseconds since 1970; changes four times a second where it is read in an effect or a template. */
  get now(): number {
    subscribe();
    return now;
  },
};
