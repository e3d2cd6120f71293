/** What each code means and what to do about it: for the reference, for `semrs journal` and for `semrs test`. */
import type { ErrorCode } from "../errors.ts";
import { type NoteCode, noteMeanings } from "../pipeline/notes.ts";

/** Cause and remedy of every error code. */
export const errorMeanings: Readonly<Record<ErrorCode, readonly [cause: string, remedy: string]>> = {
  HL7_MALFORMED: [
    "What came is no HL7 v2 message, or its MLLP frame is broken.",
    "Look at the quarantined bytes; correct the sender's framing or MSH.",
  ],
  HL7_UNSUPPORTED: [
    "The message type, its charset or what it asks for is not carried in this version.",
    "Filter it at the sender, or do by hand what it asks.",
  ],
  HL7_CONFLICT: [
    "Another message with the same MSH-3, 4, 7 and 10 came within 24 hours.",
    "Give every message its own control id.",
  ],
  CDA_INVALID: [
    "The document breaks a hard rule of CDA: not well-formed, a DOCTYPE, no or two patients, no id, code, custodian or time.",
    "Correct the document where it is made; the reason names the rule and the line.",
  ],
  CDA_RULE: [
    "The document breaks a rule of the channel's rule sets; the reason has the rule, line, column and path.",
    "Correct the document where it is made; or grade validate.document.rules warn, or correct the rule.",
  ],
  CDA_SCHEMA: [
    "The document is not as the XML Schema of CDA says; the reason has line, column and path.",
    "Correct the document where it is made; or grade validate.document.schema warn: many real documents differ.",
  ],
  DOCUMENT_MALFORMED: [
    "OBX-5 is not what it says: bad Base64, a contradiction of type, a package without a part.",
    "Correct the message; the reason names the OBX.",
  ],
  DOCUMENT_CONFLICT: [
    "A document with this id and other bytes was accepted or registered before.",
    "A correction needs its own id and a relatedDocument; release or discard what is held.",
  ],
  DOCUMENT_UNKNOWN: [
    "There is no such document, record or row here, or not for the one who asks.",
    "List what there is; ask again.",
  ],
  DOCUMENT_REMOVED: [
    "The entry of this document was removed from the registry by the house that registered it, or its patient was erased there.",
    "Nothing: its id is not used again. A new document needs an id of its own.",
  ],
  METADATA_INVALID: [
    "An update of an entry would change what identifies its document or what its registration proves; the reason points to the fields.",
    "Leave these fields as they were registered; another document is registered under an id of its own, and names what it replaces.",
  ],
  TRANSFORM_FAILED: [
    "A transform of the channel threw, took longer than it may, or wrote a field that cannot be written.",
    "Correct the transform at the place that the reason names; then semrs journal resend or release.",
  ],
  PATIENT_MISMATCH: [
    "Message, document and study name different patients.",
    "Find out which is right and correct it at the source; what is held is then released or discarded.",
  ],
  PATIENT_UNKNOWN: [
    "A record is to be delivered with this house's identity, and no admission says what that is.",
    "Admit the patient, or correct the authority; or release it with the identity it was sealed with, or discard.",
  ],
  DICOM_INVALID: [
    "The instance's structure is broken, or the association broke the protocol.",
    "Send it again; if it stays, the file or the modality is at fault: look at the quarantined instance.",
  ],
  DICOM_MISMATCH: [
    "SOP Class or Instance UID of the data set differ from what was announced; or, with iod: reject, the data set does not keep its SOP class.",
    "Correct the sender; the reason names the tags.",
  ],
  DICOM_UNSUPPORTED: [
    "No channel, or the receiving PACS, takes this SOP class or transfer syntax.",
    "Add a channel, or let the PACS accept the syntax.",
  ],
  DICOM_CONFLICT: [
    "Instances with other bytes under SOP Instance UIDs that were kept before: a corrected study, or a UID used twice.",
    "semrs journal release ID --replace puts all of the study in the place of what was kept; discard drops them.",
  ],
  TOO_LARGE: ["Over a named limit.", "Raise the limit that the reason names, or send less."],
  ENVELOPE_MALFORMED: [
    "The envelope's MIME or CMS is not well-formed.",
    "Ask the partner which software made it; compare with SPEC.md.",
  ],
  ENVELOPE_UNSUPPORTED: ["No envelope profile that is accepted here.", "Agree on semrs-2 with the partner."],
  ENVELOPE_NOT_OPENED: [
    "A key, signature, certificate, digest or tag does not hold; the log has the exact cause.",
    "Act on the cause: certificates exchanged, revocation lists current, clocks right; if none, treat it as an attack.",
  ],
  ENVELOPE_EXPIRED: [
    "The envelope is expired or from the future.",
    "Check both clocks; it is sealed anew at the next attempt.",
  ],
  ENVELOPE_REPLAYED: [
    "An envelope with this id was opened before.",
    "Nothing, if the network repeated it; else treat it as an attack.",
  ],
  ENVELOPE_CONFLICT: [
    "The same message id came before with other content.",
    "The sender draws a new message id for new content.",
  ],
  CERTIFICATE_INVALID: [
    "A certificate is expired, revoked, of an unknown authority or for another use.",
    "semrs pki show; exchange certificates and revocation lists.",
  ],
  RECIPIENT_UNKNOWN: [
    "No partner of this name is configured, or there is no certificate to seal for it.",
    "List it under partners, with its certificates; what was parked is sealed for it then.",
  ],
  NOT_PERMITTED: [
    "The one who asks may not: wrong purpose, another's repository, a caller that is not listed.",
    "Correct the configuration of the side that is wrong.",
  ],
  QUERY_INVALID: [
    "A command or request has a field that is wrong or unknown.",
    "Correct the field that the reason names.",
  ],
  CURSOR_INVALID: [
    "A cursor was changed, or belongs to another house or another question.",
    "Ask again with the same question and the cursor as it came, or from the first page.",
  ],
  STORE_FULL: [
    "The disk or its reserve is full; nothing more is accepted, what is queued still drains.",
    "Free space; senders repeat by themselves.",
  ],
  STORE_CONFLICT: [
    "What was to be kept is here already, or what a person decided about had changed in the same moment; nothing was changed.",
    "Of a decision: look where it is (semrs journal show) and decide again. Otherwise nothing; it is resolved inside.",
  ],
  STORE_DAMAGED: [
    "A file, row or key of the data folder is missing or changed, or the disk failed.",
    "Restore the data folder or storage.key from a backup; check the disk.",
  ],
  PEER_REFUSED: [
    "A system or partner said no for good; the delivery is parked.",
    "Correct what it objects to, then release the delivery.",
  ],
  PEER_UNOPENABLE: [
    "A partner cannot open what we seal for it; the delivery is parked. It tells no more, since it does not know who we are.",
    "Compare its decrypt.crt here and our sign.crt there by fingerprint, the profile and both clocks. A renewed certificate is taken by semrs reload, and what was parked is sealed for it; once the partner has opened something else, what was parked is tried again, one time; after anything else semrs journal resend.",
  ],
  AE_TITLE_UNKNOWN: [
    "A PACS rejects our AE title, or does not answer to the one we call; nothing is sent to it until it accepts us.",
    "Its administrator enters our AE title, host and port, or calledAeTitle is corrected; then sending goes on by itself.",
  ],
  REVOCATION_STALE: [
    "A revocation list of this house has ended, so that nobody's signature counts; what waits is tried again.",
    "Fetch the list anew (trust.crls; an authority of semrs signs it by semrs pki crl); all goes on by itself then.",
  ],
  CLOCK_BEHIND: [
    "This computer's clock is behind what the journal already holds, so replays and expiry cannot be told.",
    "Set the clock (NTP). If it is right now, and was ahead before: semrs clock confirm. Envelopes are opened again at once.",
  ],
  PEER_BUSY: ["A system or partner is busy or full for now.", "Nothing; it is repeated."],
  PEER_UNREACHABLE: [
    "A system or partner does not answer.",
    "Start it, open the firewall, correct the address; it is repeated.",
  ],
  PEER_AMBIGUOUS: [
    "Something was sent and no answer seen.",
    "Nothing; it is sent again under the same id, which the receiver recognises.",
  ],
  CONFIG_INVALID: [
    "The configuration, a key file or a port is wrong.",
    "Correct what the message names, then semrs reload or start again; semrs journal release what it stopped.",
  ],
  ALREADY_RUNNING: [
    "Another process uses this data folder or port.",
    "Stop it, or give this site another folder or port.",
  ],
  STOPPING: ["The site is stopping.", "Send again; it is accepted when the site is back."],
  UNEXPECTED: [
    "A defect, or something nobody thought of; the log names the place.",
    "Report it with the version; it is repeated meanwhile.",
  ],
};

/** Cause and remedy of a code of the journal; undefined for one that this version does not know. */
export function meaningOf(code: string): { readonly cause: string; readonly remedy: string } | undefined {
  const [cause, remedy] = errorMeanings[code as ErrorCode] ?? noteMeanings[code as NoteCode] ?? [];
  return cause !== undefined && remedy !== undefined ? { cause, remedy } : undefined;
}
