/**
 * Pictures that the app paints under the page, which only leaves room for them.
 *
 * Where no GPU draws, this is several times cheaper than any way to draw a picture in a page.
 */

/** A spot for a picture, in the page's pixels; the same as `Place` in `src-tauri/src/frames/underlay.rs`. */
export interface Place {
  x: number;
  y: number;
  width: number;
  height: number;
  scale: number;
  cover: boolean;
  mirror: boolean;
  radius: number;
  background: [number, number, number];
}

/** A picture under the page. */
export interface Beneath {
  place(place: Place): void;
  close(): void;
}

/** How an element's spot stands now: its box, the corners and colour of what holds it. */
export function spotOf(element: HTMLElement, how: { cover: boolean; mirror: boolean }): Place {
  const { x, y, width, height } = element.getBoundingClientRect();
  const frame = getComputedStyle(element.parentElement!);
  return {
    x,
    y,
    width,
    height,
    scale: devicePixelRatio,
    ...how,
    radius: parseFloat(frame.borderTopLeftRadius) || 0,
    background: rgb(getComputedStyle(element).color),
  };
}

/** The three numbers of a computed colour. */
export function rgb(colour: string): [number, number, number] {
  const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return [red, green, blue].map(Math.round) as [number, number, number];
}
