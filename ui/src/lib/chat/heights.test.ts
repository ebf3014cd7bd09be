import { describe, expect, it } from "vitest";
import { Heights } from "./heights";

/** The same sums, added up row by row. */
function plainly(rows: number[], index: number): number {
  return rows.slice(0, index).reduce((sum, height) => sum + height, 0);
}

describe("the heights of a long list", () => {
  it("are the estimate until a row is measured", () => {
    const heights = new Heights(50);
    heights.resize(1000);
    expect(heights.height).toBe(50_000);
    expect(heights.offset(10)).toBe(500);
    expect(heights.indexAt(499)).toBe(9);
    expect(heights.set(3, 80)).toBe(30);
    expect(heights.set(3, 80)).toBe(0);
    expect(heights.offset(3)).toBe(150);
    expect(heights.offset(4)).toBe(230);
    expect(heights.height).toBe(50_030);
  });

  it("agree with a plain sum, whatever was measured in whatever order", () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 16_807) % 2_147_483_647) % below;
    const heights = new Heights(64);
    const rows: number[] = [];
    for (let round = 0; round < 40; round++) {
      const total = rows.length + random(30);
      while (rows.length < total) rows.push(64);
      heights.resize(total);
      for (let one = 0; one < 20 && total > 0; one++) {
        const index = random(total);
        rows[index] = 20 + random(200);
        heights.set(index, rows[index]!);
      }
      const index = random(total + 1);
      expect(heights.offset(index)).toBe(plainly(rows, index));
      const place = random(Math.max(1, heights.height));
      const found = heights.indexAt(place);
      if (total > 0) {
        expect(plainly(rows, found)).toBeLessThanOrEqual(place);
        expect(plainly(rows, found + 1)).toBeGreaterThan(place);
      }
    }
  });

  it("name the rows between two places with a margin, and none beyond the ends", () => {
    const heights = new Heights(10);
    heights.resize(100);
    expect(heights.between(200, 300, 50)).toEqual({ from: 15, to: 36 });
    expect(heights.between(0, 100, 50).from).toBe(0);
    expect(heights.between(950, 1000, 50).to).toBe(100);
    heights.resize(0);
    expect(heights.between(0, 100, 50)).toEqual({ from: 0, to: 0 });
  });

  it("forget rows that are gone", () => {
    const heights = new Heights(10);
    heights.resize(20);
    heights.set(19, 90);
    heights.resize(10);
    heights.resize(20);
    expect(heights.height).toBe(200);
  });
});
