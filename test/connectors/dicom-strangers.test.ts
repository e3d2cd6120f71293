/** Who connects to a DICOM listener and asks for no association may be anybody, and takes no place of who does. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { openAssociation } from "../../connectors/dicom/requestor.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { echo } from "../../connectors/dicom/scu.ts";
import { openPlaces } from "../../connectors/wire.ts";
import { until } from "../sites.ts";
import { context, settings, stopAfterEach, stops } from "./dicom-listening.ts";

stopAfterEach();

const verification = {
  id: 1,
  abstractSyntax: "1.2.840.10008.1.1",
  transferSyntaxes: ["1.2.840.10008.1.2"],
} as const;

test.each([
  ["maxAssociations of the listener", { maxAssociations: 2 }, {}],
  ["limits.connections of the house", {}, { places: openPlaces(2) }],
])("%s: a PACS is served beside strangers without end, of whom 128 stay", async (_limit, options, places) => {
  const source = await dicomSource.listen(
    dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", ...options }),
    async () => ({ duplicate: false, answer: Promise.resolve({ accepted: true }) }),
    { ...context, ...places },
  );
  stops.push(() => source.stop());
  const port = Number(source.address.split(":")[1]);
  let gone = 0;
  const strangers = Array.from({ length: 130 }, () =>
    connect(port, "127.0.0.1")
      .on("error", () => undefined)
      .on("close", () => (gone += 1)),
  );
  stops.push(() => strangers.map((socket) => socket.destroy()));
  await until("the oldest are gone", () => gone === 2);
  const peer = settings(port);
  const [one, other] = [
    await openAssociation(peer, [verification], context.signal),
    await openAssociation(peer, [verification], context.signal),
  ];
  await expect(echo(peer, context)).rejects.toMatchObject({ code: "PEER_BUSY" });
  await one.release();
  await until("there is a place again", () =>
    echo(peer, context).then(
      () => true,
      () => false,
    ),
  );
  await other.release();
});
