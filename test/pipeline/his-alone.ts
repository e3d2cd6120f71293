/** A HIS at a site that stands alone: what it sends is accepted. */
import { expect } from "vitest";
import { openMessageIntake } from "../../pipeline/intake-message.ts";
import { openMessages } from "../../pipeline/messages.ts";
import { openPace } from "../../pipeline/pace.ts";
import type { Site } from "../../pipeline/site.ts";
import type { Item } from "../../store/store.ts";
import { wire } from "../envelope/people.ts";
import { until } from "../sites.ts";

export function hisAlone(site: Site) {
  const kept: Item[] = [];
  const { intake } = openMessageIntake(
    site,
    openMessages(site, (item) => void kept.push(item)),
    openPace(),
  );
  const send = async (message: Uint8Array, controlId: string): Promise<void> => {
    const arrival = { mediaType: "application/hl7-v2", controlId, sender: "HIS", body: wire(message) } as const;
    expect(await (await intake("his", arrival)).answer).toEqual({ accepted: true });
  };
  /** What is kept of a message with one document. */
  const sendDocument = async (message: Uint8Array, controlId: string): Promise<Item> => {
    await send(message, controlId);
    await until("kept", () => kept.length > 0);
    return kept.pop() ?? expect.fail("it was kept");
  };
  return { send, sendDocument };
}
