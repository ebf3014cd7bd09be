import { describe, expect, it } from "vitest";
import type { MessagePage, MessageView } from "$lib/contract";
import { CHUNK, KEPT_CHUNKS, MessageLog } from "./log.svelte";

interface Asked {
  from: number;
  answer: (text: string, total?: number) => Promise<void>;
}

function start() {
  const asked: Asked[] = [];
  const log = new MessageLog((from, count) => {
    let resolve: (page: MessagePage) => void;
    const page = new Promise<MessagePage>((done) => (resolve = done));
    asked.push({
      from,
      answer: async (text, total = 10_000) => {
        const items = Array.from({ length: Math.min(count, total - from) }, (_, at) => {
          const index = from + at;
          return { id: `m${index}`, index, content: { kind: "text", text } } as MessageView;
        });
        resolve({ from, total, revision: 1, items });
        await page;
        await Promise.resolve();
      },
    });
    return page;
  });
  return { log, asked };
}

const textAt = (log: MessageLog, index: number) => {
  const content = log.at(index)?.content;
  return content?.kind === "text" ? content.text : undefined;
};

describe("the messages somebody looks at", () => {
  it("are fetched in chunks, each once, and only those", async () => {
    const { log, asked } = start();
    log.update(10_000, 1);
    expect(asked).toHaveLength(0);
    log.want(9_970, 10_000);
    log.want(9_960, 9_999);
    expect(asked.map((one) => one.from)).toEqual([9_950]);
    await asked[0]!.answer("first");
    expect(textAt(log, 9_980)).toBe("first");
    expect(log.at(5)).toBeUndefined();
    expect(log.find("m9980")).toBe(9_980);
  });

  it("are fetched anew when the list changes, and stay on the screen meanwhile", async () => {
    const { log, asked } = start();
    log.update(100, 1);
    log.want(0, 20);
    await asked[0]!.answer("old", 100);
    log.update(101, 2);
    expect(asked).toHaveLength(2);
    expect(textAt(log, 3)).toBe("old");
    await asked[1]!.answer("new", 101);
    expect(textAt(log, 3)).toBe("new");
  });

  it("never go back to an older answer that comes late", async () => {
    const { log, asked } = start();
    log.update(100, 1);
    log.want(0, 20);
    log.update(100, 2);
    await asked[1]!.answer("new", 100);
    await asked[0]!.answer("old", 100);
    expect(textAt(log, 3)).toBe("new");
  });

  it("are forgotten far away, so that fifty thousand cost no more than a few hundred", async () => {
    const { log, asked } = start();
    log.update(10_000, 1);
    for (let chunk = 0; chunk < KEPT_CHUNKS + 10; chunk++) {
      log.want(chunk * CHUNK, (chunk + 1) * CHUNK);
      await asked.at(-1)!.answer("text");
    }
    expect(log.at(0)).toBeUndefined();
    expect(log.at((KEPT_CHUNKS + 9) * CHUNK)).toBeDefined();
  });
});
