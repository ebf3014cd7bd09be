/** The last two minutes of a call, one sample a second, for the details panel. */
import type { StatsSample } from "$lib/contract";

export const KEPT_SAMPLES = 120;

export class StatsLog {
  samples = $state.raw<readonly StatsSample[]>([]);

  get latest(): StatsSample | undefined {
    return this.samples.at(-1);
  }

  push(sample: StatsSample): void {
    this.samples = [...this.samples.slice(-(KEPT_SAMPLES - 1)), sample];
  }

  clear(): void {
    this.samples = [];
  }
}
