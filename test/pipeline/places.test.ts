/** How many deliveries are begun to one destination before the first has ended. */
import { expect, test } from "vitest";
import type { Config } from "../../pipeline/config.ts";
import { placesOf, refillAt } from "../../pipeline/places.ts";

const connect = { host: "127.0.0.1", port: 2575 };
const mllp = { connect, connections: 2, ambiguous: "retry", keepSeconds: 60 };
const systems = {
  his: { mllp },
  asked: { mllp: { ...mllp, ambiguous: "hold" } },
  brief: { mllp: { ...mllp, keepSeconds: 0 } },
  both: { mllp, dicom: { connect } },
};
const config = { own: { systems } } as unknown as Config;

test.for([
  ["his", 34, 18, "made ready for connections that are kept open"],
  ["asked", 2, 1, "a person decides about each that may have been on the wire"],
  ["brief", 2, 1, "each has a connection of its own"],
  ["both", 4, 3, "studies go there, too"],
  ["hospital-b", 4, 3, "a partner"],
] as const)("%s: %i, and more are looked for at %i, since %s", ([destination, places, refill]) => {
  expect(placesOf(config, destination)).toBe(places);
  expect(refillAt(config, destination)).toBe(refill);
});
