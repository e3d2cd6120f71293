/**
 * The contract of a store, over any implementation of it: what `store.ts` promises of commits, arrivals, items, deliveries,
 * messages, blobs and entries. `open` opens the same data again after a close; `clear` reads a blob.
 */
import { describe, expect, test } from "vitest";
import { sealPart } from "../../envelope/index.ts";
import type { Item, Store } from "../../store/store.ts";
import { octets, wire } from "../envelope/people.ts";
import { arrivalRow, deliveryRow } from "./rows.ts";

export type Backend = {
  readonly name: string;
  /** The store of this test. */
  store(): Store;
  /** Closes it and opens its data again. */
  reopen(): Promise<void>;
  clear(blob: string): Promise<Buffer>;
};

const conflict = expect.objectContaining({ code: "STORE_CONFLICT" });

export function storeContract({ name, store, reopen, clear }: Backend): void {
  const item = (change: Partial<Item> = {}): Item => ({
    ...{
      id: store().newId(),
      kind: "document",
      arrival: store().newId(),
      channel: "c",
      key: "k",
      digest: "d",
      blob: "",
    },
    ...{ joins: ["study:1.2"], patients: [], state: "waiting", code: null, reason: null, since: "", record: null },
    ...{ facts: null, ...change },
  });
  const put = async (bytes: Uint8Array) => {
    const part = sealPart(wire(bytes), "segments");
    const staged = await store().blobs.put(part.cipher, part.facts);
    await store().commit([staged.change]);
    return staged;
  };

  describe(`${name}: commits`, () => {
    test("many callers at once; one that conflicts takes nobody with it", async () => {
      const { commit, arrivals, messages, newId } = store();
      const rows = Array.from({ length: 50 }, () => arrivalRow(newId()));
      await commit([arrivals.add(rows[0] ?? arrivalRow(newId()))]);
      const results = await Promise.allSettled(
        rows.map((row) => commit([arrivals.add(row), messages.took("x", row.id, "")], [{ id: row.id, digest: "00" }])),
      );
      expect(results.filter(({ status }) => status === "rejected")).toEqual([{ status: "rejected", reason: conflict }]);
      expect((await store().scans.counts()).arrivals).toEqual({ accepted: 50 });
    });

    test("all or nothing; what has resolved is read at once, and after a restart, and is in the accept journal", async () => {
      const { commit, arrivals, newId } = store();
      const [row, other] = [arrivalRow(newId()), arrivalRow(newId())];
      await commit([arrivals.add(row)], [{ id: row.id, digest: "00" }]);
      await expect(commit([arrivals.add(other), arrivals.add(row)], [{ id: other.id, digest: "00" }])).rejects.toEqual(
        conflict,
      );
      const holds = (): void => {
        expect(store().arrivals.find(row.id)).toEqual(row);
        expect(store().arrivals.find(other.id)).toBeUndefined();
        expect([...store().checks.acceptances()].map(({ id }) => id)).toEqual([row.id]);
      };
      holds();
      await reopen();
      holds();
      expect(store().missing).toEqual([]);
    });

    test("ids rise, whatever the clock does", () => {
      const ids = Array.from({ length: 1_000 }, () => store().newId());
      expect(ids).toEqual([...new Set(ids)].sort());
    });
  });

  describe(`${name}: the journal`, () => {
    test("one repetition token stands for one arrival; pages follow one another by id", async () => {
      const { commit, arrivals, newId } = store();
      const rows = Array.from({ length: 7 }, (_, n) => arrivalRow(newId(), { repetition: `r${n}` }));
      await commit(rows.map(arrivals.add));
      await expect(commit([arrivals.add(arrivalRow(newId(), { repetition: "r3" }))])).rejects.toEqual(conflict);
      expect(arrivals.byRepetition("r3")).toEqual(rows[3]);
      const first = arrivals.list({ state: "accepted", limit: 4 });
      const rest = arrivals.list({ state: "accepted", after: first.at(-1)?.id ?? "", limit: 4 });
      expect([...first, ...rest]).toEqual(rows);
    });

    test("an item is there once by kind, key and digest, and is found by what joins it", async () => {
      const { commit, items } = store();
      const one = item();
      await commit(items.add(one));
      await expect(commit(items.add(item()))).rejects.toEqual(conflict);
      expect(items.joined("document", ["study:1.2"])).toEqual([one]);
      expect(items.joined("instance", ["study:1.2"])).toEqual([]);
    });

    test("one key is delivered in order; what was on the wire is ambiguous after a restart, and holds its key up", async () => {
      const { commit, deliveries, newId } = store();
      const [first, second, free] = [{ order: "p" }, { order: "p" }, {}].map((change) => deliveryRow(newId(), change));
      if (!first || !second || !free) throw new Error("none");
      await commit([first, second, free].map(deliveries.add));
      const due = (): readonly string[] =>
        store()
          .deliveries.due({ kind: "register", destination: "registry" }, 1, 10)
          .map(({ id }) => id);
      expect(due()).toEqual([first.id, free.id]);
      await commit([deliveries.mark(first.id, { state: "inflight", attempts: 1 })]);
      expect(due()).toEqual([free.id]);
      await reopen();
      expect(store().deliveries.find(first.id)?.state).toBe("ambiguous");
      expect(due()).toEqual([first.id, free.id]);
      await store().commit([store().deliveries.mark(first.id, { state: "parked" })]);
      expect(due()).toEqual([second.id, free.id]);
    });

    test("a message is answered once, an id is seen once until it ends, and a ledger takes repetitions", async () => {
      const { commit, messages } = store();
      const message = { org: "a", message: "m", digest: "d", receipt: Buffer.from("r"), at: "" };
      await commit([...messages.add(message), messages.saw("a", "i", 10), messages.took("his", "k", "")]);
      await expect(commit(messages.add(message))).rejects.toEqual(conflict);
      await expect(commit([messages.saw("a", "i", 20)])).rejects.toEqual(conflict);
      expect(messages.expire(10, 1)).toEqual([]);
      await commit([messages.saw("a", "j", 9), ...messages.expire(11, 1), messages.took("his", "k", "")]);
      expect(["i", "j"].map((id) => messages.hasSeen("a", id))).toEqual([true, false]);
      await commit(messages.expire(11, 1));
      expect([messages.hasSeen("a", "i"), messages.hasTaken("his", "k")]).toEqual([false, true]);
      await expect(commit([messages.hasNotTaken("his", "k")])).rejects.toEqual(conflict);
      await commit([messages.hasNotTaken("pacs", "k")]);
      const keys = ["1.2 a", "1.2 b", "1.20 c", "1.2.3 d", "1.2"];
      await commit([messages.tookAll("here", keys, ""), messages.tookAll("here", ["1.2 b", "1.2 e"], "")]);
      expect(messages.takenUnder("here", "1.2")).toEqual(["a", "b", "e"]);
      expect(Buffer.from(messages.find("a", "m")?.receipt ?? []).toString()).toBe("r");
    });
  });

  describe(`${name}: blobs`, () => {
    test.for([1, 65_537, 1_500_000])(
      "%i octets come back, once however often they came, over a restart",
      async (size) => {
        const bytes = octets(size, size);
        const [one, other] = await Promise.all([put(bytes), put(bytes)]);
        expect(other.name).toBe(one.name);
        await reopen();
        expect(Buffer.compare(await clear(one.name), bytes)).toBe(0);
        await store().commit([store().blobs.drop(one.name)]);
        expect(store().blobs.has(one.name)).toBe(false);
      },
    );

    test("what is not committed is not there", async () => {
      const part = sealPart(wire(octets(200_000, 1)), "segments");
      const { name: blob } = await store().blobs.put(part.cipher, part.facts);
      expect(store().blobs.has(blob)).toBe(false);
      await reopen();
      expect(store().blobs.has(blob)).toBe(false);
    });
  });

  test(`${name}: entries: a document is registered once, and found by what it names`, async () => {
    const { commit, entries, tokens, newId } = store();
    const [key, patient] = [tokens.of("document", "", "1^1"), tokens.of("patient", "", "A")];
    const named = { patients: [patient], references: [], related: [] };
    const common = {
      submission: newId(),
      org: "a",
      form: "113",
      createdAt: "2026-01-01T00:00:00Z",
      manifestSha256: "",
    };
    const entry = { ...common, ...named, id: newId(), key, entry: { title: "x" } };
    await commit(entries.add(entry));
    await expect(commit(entries.add({ ...entry, id: newId() }))).rejects.toEqual(conflict);
    await reopen();
    expect(store().entries.byKey(key)[0]).toMatchObject({ id: entry.id, status: "approved", entry: { title: "x" } });
  });
}
