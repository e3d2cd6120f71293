/** C-STORE as SCP (PS3.4 B.2): the octets of an instance go to `deliver` as they come, never held whole, never re-encoded. */
import { codeOf, consequenceOf, Fault, reasonOf } from "../../errors.ts";
import { isUid, part10Header } from "../../formats/dicom.ts";
import type { AcceptedContext } from "./association.ts";
import { type CommandSet, element, status, textOf } from "./dimse.ts";
import { openFlow } from "./flow.ts";
import type { Answer, Asked, Sink } from "./services.ts";

/** Octets of an instance that may wait for the disk before the socket is paused. */
const highWater = 1024 * 1024;

const ofAnotherClass = new Fault("DICOM_MISMATCH", "the SOP class is not that of its presentation context");

/** Begins to deliver an instance: where its octets go, and what will be answered. */
export function takeInstance(
  asked: Asked,
  set: CommandSet,
  { abstractSyntax, transferSyntax }: AcceptedContext,
): Omit<Sink, "contextId"> & { readonly answered: Promise<Answer> } {
  const { deliver, budget, context, peer, session, resume } = asked;
  const sopInstanceUid = textOf(set, element.affectedSopInstance);
  const sopClassUid = textOf(set, element.affectedSopClass);
  const flow = openFlow(highWater, resume, budget);
  flow.push(part10Header(sopClassUid, sopInstanceUid, transferSyntax));
  const accept = async (): Promise<Answer> => {
    try {
      const arrival = {
        body: flow.body,
        mediaType: "application/dicom",
        controlId: sopInstanceUid,
        sender: peer,
        session,
        ...(sopClassUid === abstractSyntax ? {} : { fault: ofAnotherClass }),
      } as const;
      const { answer } = await deliver(arrival);
      const { accepted, code } = await answer;
      return { status: accepted ? status.success : consequenceOf(code ?? "UNEXPECTED").dicom };
    } catch (thrown) {
      const controlId = isUid(sopInstanceUid) ? sopInstanceUid : "";
      const code = codeOf(thrown);
      context.log("dicom.refused", { peer, controlId, code, reason: reasonOf(thrown) }, "warn");
      return { status: consequenceOf(code).dicom };
    } finally {
      // Whatever was not read is not wanted; the association goes on.
      flow.discard();
    }
  };
  return {
    push: flow.push,
    finish: flow.end,
    fail: (why) => flow.fail(new Fault("DICOM_INVALID", why)),
    answered: accept(),
  };
}
