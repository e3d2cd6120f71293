/** What the journal notes of something that is no failure: why it was filtered, held, or travels with less. */
export const noteMeanings = {
  NO_CHANNEL: [
    "No channel of this site takes this message or its document; it was acknowledged and is not sealed.",
    "If it should travel, look at filter (messages, documents, confidentiality, keep, drop), then semrs journal resend.",
  ],
  NO_DOCUMENT: ["The message carries no document.", "Nothing, if the system sends such messages; else look at OBX-5."],
  PRELIMINARY: ["The report is preliminary; only final ones travel.", "Nothing; the final one follows."],
  REPEATED: ["This document is here already, octet for octet.", "Nothing."],
  ECHO: [
    "This document or instance came from another house, and our HIS or PACS sent it back.",
    "Nothing; it is never registered as ours. A PACS need not forward to us what it gets from us.",
  ],
  ORIGINAL_UNKNOWN: [
    "A replacement or an addendum that names no document of this house, in itself or in TXA-13; it travels as a new one beside it.",
    "Let the HIS send TXA-13 as it sent TXA-12 of the original; if the original must not be found any more, cancel it.",
  ],
  ORIGINAL_MATCHED: [
    "A replacement or an addendum that names no original; it is related to the one report of this house with the same setId, or with the same form, custodian, patient and order number.",
    "Nothing; a HIS that sends TXA-13 leaves nothing to be found out.",
  ],
  ORIGINAL_AMBIGUOUS: [
    "A replacement or an addendum that names no original, and several reports of this house could be meant; it travels as a new one beside them.",
    "Let the HIS send TXA-13 as it sent TXA-12 of the original; if the original must not be found any more, cancel it.",
  ],
  CANCELLED: [
    "Its author cancelled the report: it is not sealed, or is withdrawn from the registry and from the houses that have it.",
    "Nothing; a report that was cancelled by mistake is sent again under a new document id.",
  ],
  CANCELLED_AHEAD: [
    "A cancellation of a report that has not come yet; the report is not sealed when it comes.",
    "Nothing, if the order of the two is known at the source; else compare TXA-12 of both.",
  ],
  MERGED: [
    "Two ids of a patient are one: what waits and what is delivered later is the surviving patient's, and the registry is told.",
    "Nothing.",
  ],
  MERGED_HERE: [
    "Two ids of a patient are one in this house alone: it is not the owner of their root, so the registry is not told.",
    "If this house gives these ids, name it as owner under identifiers, here and at the registry; then the HIS sends it again.",
  ],
  MERGE_NOT_COMPARABLE: [
    "A merge, or an unlink, whose two patients have no two different ids under one root that is known here; nothing was done.",
    "List the authority of PID-3.4 and MRG-1.4 with its OID under identifiers, then semrs journal resend.",
  ],
  UNMERGED: [
    "Two patients who were merged are two again, here and at the registry; what was delivered meanwhile is where it is.",
    "See what was delivered under the wrong patient: semrs journal, by either number.",
  ],
  UNMERGED_HERE: [
    "Two patients who were merged are two again in this house alone: it is not the owner of their root, so the registry is not told.",
    "If this house gives these ids, name it as owner under identifiers, here and at the registry; then the HIS sends it again.",
  ],
  ATTACHMENT_NOT_CARRIED: [
    "The message holds something beside the CDA document that is no PDF, or one that it withdraws; only documents and PDF travel.",
    "Send what is beside it as a document of its own.",
  ],
  TXA_DIFFERS: [
    "TXA says otherwise than the document: another id under the same root (TXA-12), another original (TXA-13), or another confidentiality (TXA-18); the document is believed.",
    "Let the HIS fill TXA from the document; where TXA-18 is right, the document's confidentialityCode has to be corrected.",
  ],
  PATIENT_NOT_COMPARABLE: [
    "PID-3 and the document name the patient under different authorities, so they could not be compared; of an admission: under none that is known here, so nobody is asked for.",
    "List the authority of PID-3.4 with its OID under identifiers, or set mllp.authority of a system that leaves it empty; then semrs journal resend of an admission.",
  ],
  CHARSET: [
    "The message holds octets that are no text in the charset of its MSH-18; they were read as replacement characters.",
    "Let the sender name its charset in MSH-18, or set mllp.charset of the system.",
  ],
  LINE_ENDS: ["Segments end in LF or CRLF instead of CR.", "Nothing; the sender should write CR."],
  IOD_INCOMPLETE: [
    "An instance lacks attributes that its SOP class requires (type 1, PS3.3).",
    "Tell the modality's vendor the tags; set validate.study.iod to what it is worth here.",
  ],
  IOD_LENGTH: [
    "An instance has values whose length their value representation does not allow (PS3.5 6.2).",
    "Tell the modality's vendor the tags; set validate.study.iod to what it is worth here.",
  ],
  CHARSET_UNKNOWN: [
    "Specific Character Set (0008,0005) holds a term that PS3.3 C.12.1.1.2 does not define.",
    "Correct it at the modality or PACS: names are read wrongly elsewhere.",
  ],
  CHARSET_UNDECLARED: [
    "An instance has letters beyond ASCII and no Specific Character Set (0008,0005).",
    "Set the character set at the modality or PACS: names are read wrongly elsewhere.",
  ],
  STUDY_MISSING: [
    "The study that the document refers to did not come within assemble.study.wait.",
    "Let the PACS send it, then release; or release as it is if then is proceed.",
  ],
  STUDY_LATE: [
    "Images came after their document was sealed.",
    "Release them to follow as an addendum, or discard them; assemble.late: addendum does it by itself.",
  ],
  DOCUMENT_MISSING: ["No document ever referred to this study.", "Let the HIS send the report, or discard the images."],
  ACCESSION_AMBIGUOUS: [
    "The accession number belongs to studies of different dates, and the document names no Study Instance UID.",
    "Discard the images of the study that is not meant, then release; or let the HIS send the report with the UID.",
  ],
  RELEASED: ["A person let it go on in spite of what it was held for.", "Nothing; the step says why."],
  REPLACES: [
    "A corrected instance whose predecessor has left; it follows as an addendum that takes its place.",
    "Nothing.",
  ],
  REPLACED: [
    "A corrected instance under the same SOP Instance UID stands for this one, or this system has the report that replaces it.",
    "Nothing.",
  ],
  REJECTED: [
    "The PACS rejected this instance with a rejection note; it is not sealed, or was sealed before.",
    "Nothing, where it was not sealed; else tell the houses that fetched it: the note follows as an addendum.",
  ],
  REJECTION_NOTE: ["A rejection note (key object selection) that was acted on.", "Nothing."],
  SHADOW: [
    "Sealed and kept; the channel's route is none.",
    "Nothing, while the house runs in the shadow of its live feed.",
  ],
} as const satisfies Record<string, readonly [cause: string, remedy: string]>;

export type NoteCode = keyof typeof noteMeanings;
export const noteCodes = Object.keys(noteMeanings) as readonly NoteCode[];
