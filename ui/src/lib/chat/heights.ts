/**
 * The heights of a long list's rows, most of which were never drawn: where a row begins and which row is at a place,
 * both in O(log n).
 *
 * A binary indexed tree over how far each row is from the estimate. Rows that were not measured count as the estimate.
 */
export class Heights {
  readonly estimate: number;
  #total = 0;
  #off = new Float64Array(0);
  #tree = new Float64Array(1);

  constructor(estimate: number) {
    this.estimate = estimate;
  }

  /** How many rows there are. */
  get total(): number {
    return this.#total;
  }

  /** The height of all rows together. */
  get height(): number {
    return this.offset(this.#total);
  }

  /** There are this many rows now; those that stay keep their heights. */
  resize(total: number): void {
    for (let index = total; index < this.#total; index++) this.set(index, this.estimate);
    this.#total = total;
    if (total > this.#off.length) this.#grow(total);
  }

  /** Row `index` was measured; returns by how much that differs from what was thought. */
  set(index: number, height: number): number {
    if (index < 0 || index >= this.#off.length) return 0;
    const change = height - this.estimate - this.#off[index]!;
    if (change === 0) return 0;
    this.#off[index]! += change;
    for (let node = index + 1; node < this.#tree.length; node += node & -node) this.#tree[node]! += change;
    return change;
  }

  /** Where row `index` begins. */
  offset(index: number): number {
    let sum = index * this.estimate;
    for (let node = Math.min(index, this.#off.length); node > 0; node -= node & -node)
      sum += this.#tree[node]!;
    return sum;
  }

  /** The row at `place`; the first or the last one beyond the ends. */
  indexAt(place: number): number {
    let [index, left] = [0, place];
    for (let step = 2 ** Math.floor(Math.log2(Math.max(1, this.#off.length))); step >= 1; step /= 2) {
      const next = index + step;
      if (next >= this.#tree.length) continue;
      const height = this.#tree[next]! + step * this.estimate;
      if (height <= left) [index, left] = [next, left - height];
    }
    return Math.max(0, Math.min(index, this.#total - 1));
  }

  /** The rows between two places, `margin` more at both ends; `to` is one past the last. */
  between(top: number, bottom: number, margin: number): { from: number; to: number } {
    if (this.#total === 0) return { from: 0, to: 0 };
    return { from: this.indexAt(top - margin), to: this.indexAt(bottom + margin) + 1 };
  }

  #grow(total: number): void {
    const known = this.#off;
    this.#off = new Float64Array(Math.max(64, total, known.length * 2));
    this.#off.set(known);
    this.#tree = new Float64Array(this.#off.length + 1);
    for (let node = 1; node < this.#tree.length; node++) {
      this.#tree[node]! += this.#off[node - 1]!;
      const parent = node + (node & -node);
      if (parent < this.#tree.length) this.#tree[parent]! += this.#tree[node]!;
    }
  }
}
