/** Where one's own picture sits in a call: a share of the free room, so that it keeps its place on resize. */

export interface Spot {
  x: number;
  y: number;
}

interface Size {
  width: number;
  height: number;
}

/** The room kept free at each edge, CSS pixels. */
export const MARGIN = 16;

const share = (value: number) => Math.min(1, Math.max(0, value));

export function clamp(spot: Spot): Spot {
  return { x: share(spot.x), y: share(spot.y) };
}

/** The picture's corner inside the stage, CSS pixels. */
export function place(spot: Spot, stage: Size, picture: Size): { left: number; top: number } {
  const room = (whole: number, part: number) => Math.max(0, whole - part - 2 * MARGIN);
  return {
    left: Math.round(MARGIN + spot.x * room(stage.width, picture.width)),
    top: Math.round(MARGIN + spot.y * room(stage.height, picture.height)),
  };
}
