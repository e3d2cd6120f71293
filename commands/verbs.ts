/** The verbs of the command line. */
import type { Command } from "commander";

/** A verb brings its own modules and nothing of the others: `seal` needs no web server. */
export const verbs: Readonly<Record<string, (program: Command) => Promise<Command>>> = {
  demo: async () => (await import("./demo/index.ts")).demoCommand(),
  init: async () => (await import("./init/index.ts")).initCommand(),
  check: async () => (await import("./check/index.ts")).checkCommand(),
  test: async () => (await import("./test/index.ts")).testCommand(),
  run: async () => (await import("./run.ts")).runCommand(),
  send: async () => (await import("./send/index.ts")).sendCommand(),
  echo: async () => (await import("./echo.ts")).echoCommand(),
  doctor: async () => (await import("./doctor/index.ts")).doctorCommand(),
  reload: async () => (await import("./reload.ts")).reloadCommand(),
  status: async () => (await import("./status.ts")).statusCommand(),
  pause: async () => (await import("./stops.ts")).stopCommand("pause"),
  drain: async () => (await import("./stops.ts")).stopCommand("drain"),
  resume: async () => (await import("./stops.ts")).stopCommand("resume"),
  journal: async () => (await import("./journal/index.ts")).journalCommand(),
  audit: async () => (await import("./audit/index.ts")).auditCommand(),
  log: async () => (await import("./log/index.ts")).logCommand(),
  consent: async () => (await import("./consent.ts")).consentCommand(),
  erase: async () => (await import("./erase.ts")).eraseCommand(),
  fetch: async () => (await import("./fetch.ts")).fetchCommand(),
  emergency: async () => (await import("./emergency/index.ts")).emergencyCommand(),
  evidence: async () => (await import("./evidence.ts")).evidenceCommand(),
  backup: async () => (await import("./backup.ts")).backupCommand(),
  restore: async () => (await import("./backup.ts")).restoreCommand(),
  verify: async () => (await import("./verify.ts")).verifyCommand(),
  seal: async () => (await import("./envelope/seal.ts")).sealCommand(),
  open: async () => (await import("./envelope/open.ts")).openCommand(),
  inspect: async () => (await import("./envelope/inspect.ts")).inspectCommand(),
  participants: async () => (await import("./participants/index.ts")).participantsCommand(),
  pki: async () => (await import("./pki/index.ts")).pkiCommand(),
  completion: async (program) => (await import("./completion.ts")).completionCommand(() => program),
};

/** How the list of verbs shows each, so that the list loads none of them: its usage, and what it is for. */
export const listed: Readonly<Record<string, readonly [usage: string, summary: string]>> = {
  demo: ["demo [options]", "three sites on this machine; records travel; then it stays up"],
  init: [
    "init [options] <site>",
    "everything one house begins with: channels.yaml, keys, requests, a service, a first test",
  ],
  check: ["check [options] [file]", "lint channels.yaml, keys, folders and peers; print the firewall table"],
  test: ["test [options] [file]", "run channels.test.yaml: what is sent to which system, and what must become of it"],
  run: ["run [options]", "run one site until it is told to stop"],
  send: ["send", "send files to an MLLP or DICOM listener, as a HIS or PACS would"],
  echo: ["echo [options] <peer>", "ask whether a listener answers: C-ECHO, or a connection for MLLP"],
  doctor: ["doctor [options] [file]", "what is wrong with this house and its machine, and what to do"],
  reload: ["reload [options]", "have a running site read its configuration anew"],
  status: [
    "status [options]",
    "what a site accepted against what became of it, and how much of it is kept, by channel",
  ],
  pause: [
    "pause [options] <name>",
    "send nothing of a channel, or to a system or partner, until it is resumed; what comes is still accepted",
  ],
  drain: ["drain [options] <name>", "take in nothing more of a channel, or from a system, and send what is queued"],
  resume: ["resume [options] <name>", "end a pause or a drain"],
  journal: [
    "journal",
    "what waits, is held or was refused at a site, the way of one message, and what is decided about it",
  ],
  audit: ["audit", "the audit log of a site: whether it is whole, and what it holds"],
  log: ["log", "the log of a registry: whether it is whole, and its signed checkpoints"],
  consent: [
    "consent",
    "what a patient withholds or shares: told to the registry by the house that gives the patient's id",
  ],
  erase: ["erase [options]", "erase a patient at this site: what was sealed under their keys can never be read again"],
  fetch: [
    "fetch [options]",
    "ask for a patient's records now, where a channel fetches on request; in an emergency past consent",
  ],
  emergency: [
    "emergency",
    "accesses in an emergency, past consent: which wait for a review, and that one was reviewed",
  ],
  evidence: ["evidence", "what proves who sent what to whom when"],
  backup: ["backup [options] <folder>", "back up the data folder, while the site runs or not"],
  restore: ["restore [options] <folder>", "make the data folder of a backup, and verify it"],
  verify: ["verify [options]", "look at everything a site keeps again: accept journal, index, every blob"],
  seal: ["seal [options]", "seal a document and its images into an envelope for one or several receivers"],
  open: ["open [options] [file]", "open and verify an envelope; write its document, images and manifest"],
  inspect: [
    "inspect [options] [file]",
    "what can be told of an envelope without a key; with one, its verified manifest",
  ],
  participants: ["participants", "who takes part: the registry's signed directory, beside channels.yaml"],
  pki: ["pki", "make, show and exchange keys and certificates"],
  completion: ["completion <shell>", "print a completion script for a shell"],
};
