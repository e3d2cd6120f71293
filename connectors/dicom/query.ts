/** C-FIND and C-MOVE as client, through dcmjs-dimse, which is loaded when a PACS is first asked. Answers are read for UIDs and counts alone. */
import type { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { Fault } from "../../errors.ts";
import { tlsProfile } from "../../tls.ts";
import { type Peer, rejectionOf, releaseSeconds } from "./requestor.ts";

/** What is read of an answer: UIDs and counts, as text. */
type Match = { readonly [keyword: string]: unknown };
type Elements = Readonly<Record<string, string>>;
type Level = "study" | "series" | "image";

/** Answers to one question that are read; a study has one, but some PACS answer with whatever else they have. */
const maxAnswers: Readonly<Record<Level, number>> = { study: 10_000, series: 10_000, image: 100_000 };
/** A PACS that reads from tape says nothing for long, or that it is still at it. */
const moveSeconds = 600;
/** It says so once an instance, of which no record has more than 25,000, or once a second. */
const maxMoveAnswers = 30_000;

/** How many instances of a study the PACS knows: NumberOfStudyRelatedInstances, or counted where it does not say; 0 for none. */
export async function countOf(peer: Peer, studyInstanceUid: string, signal: AbortSignal): Promise<number> {
  const keys = { StudyInstanceUID: studyInstanceUid, NumberOfStudyRelatedInstances: "" };
  const [study] = await find(peer, "study", keys, signal);
  if (!study) return 0;
  const told = textOf(study, "NumberOfStudyRelatedInstances");
  return /^\d{1,9}$/.test(told) ? Number(told) : (await instancesOf(peer, studyInstanceUid, signal)).size;
}

/** How many instances each series of a study has, where the PACS says so (NumberOfSeriesRelatedInstances). */
export async function seriesOf(
  peer: Peer,
  studyInstanceUid: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number | undefined>> {
  const keys = { StudyInstanceUID: studyInstanceUid, SeriesInstanceUID: "", NumberOfSeriesRelatedInstances: "" };
  const series = new Map<string, number | undefined>();
  for (const match of await find(peer, "series", keys, signal)) {
    const [uid, told] = [textOf(match, "SeriesInstanceUID"), textOf(match, "NumberOfSeriesRelatedInstances")];
    if (uid) series.set(uid, /^\d{1,9}$/.test(told) ? Number(told) : undefined);
  }
  return series;
}

/** SOP Instance UIDs of a study that the PACS has, asked series by series (PS3.4 C.4.1.2.1: upper keys are unique). */
export async function instancesOf(
  peer: Peer,
  studyInstanceUid: string,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const uids = new Set<string>();
  for (const seriesInstanceUid of (await seriesOf(peer, studyInstanceUid, signal)).keys()) {
    const keys = { StudyInstanceUID: studyInstanceUid, SeriesInstanceUID: seriesInstanceUid, SOPInstanceUID: "" };
    for (const match of await find(peer, "image", keys, signal)) uids.add(textOf(match, "SOPInstanceUID"));
  }
  uids.delete("");
  return uids;
}

/** Has the PACS send a study to an AE title that it knows; resolves with how many instances it says it sent. */
export async function move(
  peer: Peer,
  studyInstanceUid: string,
  destinationAeTitle: string,
  signal: AbortSignal,
): Promise<number> {
  const { requests } = library();
  const request = requests.CMoveRequest.createStudyMoveRequest(destinationAeTitle, studyInstanceUid);
  let sent = 0;
  let answers = 0;
  let movedAt = performance.now();
  const patient = { ...peer, responseSeconds: Math.max(peer.responseSeconds, moveSeconds) };
  const status = await perform(patient, request, signal, (response) => {
    const { getCompleted, getWarnings } = response as { getCompleted?(): number; getWarnings?(): number };
    const done = (getCompleted?.call(response) ?? 0) + (getWarnings?.call(response) ?? 0);
    if (done > sent) [sent, movedAt] = [done, performance.now()];
    answers += 1;
    if (answers > maxMoveAnswers)
      throw new Fault("TOO_LARGE", `${whereOf(peer)} gives more than ${maxMoveAnswers} answers to one C-MOVE`);
    if (performance.now() - movedAt > moveSeconds * 1000)
      throw new Fault(
        "PEER_UNREACHABLE",
        `${whereOf(peer)} answers C-MOVE, and has moved nothing for ${moveSeconds} s; is ${destinationAeTitle} reached from there?`,
      );
  });
  // PS3.4 C.4.2.1.5: A801 destination unknown, B000 some sub-operations failed.
  if (status === 0xa801)
    throw new Fault(
      "AE_TITLE_UNKNOWN",
      `${whereOf(peer)} does not know the move destination ${destinationAeTitle}; its administrator must enter it with our host and ${peer.ourPort === undefined ? "port" : `port ${peer.ourPort}`}`,
    );
  if (status !== 0 && status !== 0xb000) throw statusFault(peer, "C-MOVE", status);
  return sent;
}

async function find(peer: Peer, level: Level, keys: Elements, signal: AbortSignal): Promise<readonly Match[]> {
  const { requests, Dataset } = library();
  const request = new requests.CFindRequest();
  request.setDataset(
    new Dataset({ ...keys, QueryRetrieveLevel: { study: "STUDY", series: "SERIES", image: "IMAGE" }[level] }),
  );
  const matches: Match[] = [];
  let answers = 0;
  const status = await perform(peer, request, signal, (response) => {
    answers += 1;
    if (answers > maxAnswers[level])
      throw new Fault("TOO_LARGE", `${whereOf(peer)} gives more than ${maxAnswers[level]} answers at ${level} level`);
    const match = response.getDataset()?.getElements() as Match | undefined;
    // A PACS that ignores a key would answer with other patients' studies.
    if (match && textOf(match, "StudyInstanceUID", keys.StudyInstanceUID) === keys.StudyInstanceUID)
      matches.push(match);
  });
  if (status !== 0) throw statusFault(peer, "C-FIND", status);
  return matches;
}

type Response = InstanceType<typeof import("dcmjs-dimse").responses.CFindResponse>;
type Association = import("dcmjs-dimse").association.Association;
type Request = InstanceType<typeof import("dcmjs-dimse").requests.CFindRequest>;
type Pdvs = { getPdvs(): readonly unknown[] };
/** A client that is connected, or was about to be. */
type Networked = {
  readonly network?: EventEmitter & {
    readonly socket: Socket;
    dimseStream?: unknown;
    _processPDataTf(pdu: Pdvs): Promise<void>;
  };
};

/** One request on an association of its own; resolves with the final status. A fault that `told` throws ends it at once. */
async function perform(
  peer: Peer,
  request: Request,
  signal: AbortSignal,
  told: (response: Response) => void,
): Promise<number> {
  const { Client } = library();
  const where = whereOf(peer);
  const client = new Client();
  client.addRequest(request);
  return await new Promise<number>((resolve, reject) => {
    let status: number | undefined;
    let isAllowed = true;
    let releasing: NodeJS.Timeout | undefined;
    // The library closes its half, and waits without an end for a peer that hangs.
    const close = (): void => void (client as unknown as Networked).network?.socket.destroy();
    const fail = (fault: unknown): void => {
      clearTimeout(reaching);
      signal.removeEventListener("abort", stop);
      close();
      reject(fault);
    };
    const stop = (): void => fail(new Fault("STOPPING", "the site stops"));
    signal.addEventListener("abort", stop, { once: true });
    // The library's own limit is for silence of any kind, before the connection and after.
    const reaching = setTimeout(() => fail(unreachable(where, new Error("no connection"))), peer.connectSeconds * 1000);
    client.on("connected", () => clearTimeout(reaching));
    // The library takes FF01 for the last answer, and releases while the PACS still looks.
    const [raiseResponse, raiseDone] = [request.raiseResponseEvent.bind(request), request.raiseDoneEvent.bind(request)];
    let mayFollow = false;
    request.raiseResponseEvent = (response) => {
      mayFollow = isPending(response.getStatus());
      // The library keeps a response that has no data set in front of the next one, and reads all of them anew each time.
      const { network } = client as unknown as Networked;
      if (network && !response.hasDataset()) network.dimseStream = undefined;
      raiseResponse(response);
    };
    request.raiseDoneEvent = () => {
      if (!mayFollow) raiseDone();
    };
    request.on("response", (response: Response) => {
      try {
        told(response);
      } catch (thrown) {
        return fail(thrown);
      }
      if (isPending(response.getStatus())) return;
      status = response.getStatus();
      releasing ??= setTimeout(close, releaseSeconds * 1000);
    });
    client.on("associationAccepted", (association: Association) => {
      isAllowed = association.getAcceptedPresentationContextFromRequest(request) !== undefined;
    });
    client.on("associationRejected", ({ result, source, reason }: Record<"result" | "source" | "reason", number>) =>
      fail(
        rejectionOf([result, source, reason], where, {
          aeTitle: peer.callingAeTitle,
          host: "of this machine",
          port: peer.ourPort,
        }),
      ),
    );
    client.on("networkError", (cause: Error) => {
      // What was answered is answered, however the peer ends then.
      if (status === undefined) fail(unreachable(where, cause));
    });
    client.on("closed", () => {
      clearTimeout(releasing);
      if (status === undefined)
        fail(
          new Fault(
            isAllowed ? "PEER_UNREACHABLE" : "PEER_REFUSED",
            `${where} ended the association without an answer; does it allow us to query and retrieve?`,
          ),
        );
      signal.removeEventListener("abort", stop);
      resolve(status ?? 0);
    });
    client.send(peer.host, peer.port, peer.callingAeTitle, peer.calledAeTitle, {
      connectTimeout: peer.responseSeconds * 1000,
      associationTimeout: peer.connectSeconds * 1000,
      pduTimeout: peer.responseSeconds * 1000,
      ...secure(peer),
    });
    const { network } = client as unknown as Networked;
    // The library waits for a peer to close that waits for us to.
    for (const event of ["abort", "associationReleaseRequested"]) network?.on(event, close);
    readEachPdv(network);
  });
}

/** Of a P-DATA the library drops what follows a response without a data set (PS3.8 9.3.5: it has one PDV or more). */
function readEachPdv(network: Networked["network"]): void {
  const read = network?._processPDataTf.bind(network);
  if (!network || !read) return;
  // Begun one behind the other: the next P-DATA is not read before the last of this one.
  network._processPDataTf = async (pdu) =>
    void (await Promise.all(pdu.getPdvs().map((pdv) => read({ getPdvs: () => [pdv] }))));
}

/** PS3.4 C.4.1.1.4: FF00 and FF01. */
const isPending = (status: number): boolean => status === 0xff00 || status === 0xff01;

const whereOf = ({ calledAeTitle, host, port }: Peer): string => `${calledAeTitle}@${host}:${port}`;

const unreachable = (where: string, cause: Error): Fault =>
  /certificate|altname|self.signed/i.test(cause.message)
    ? new Fault("CERTIFICATE_INVALID", `${where} showed no certificate that tls.trust accepts`, { cause })
    : new Fault("PEER_UNREACHABLE", `${where} cannot be reached, or did not answer in time`, { cause });

function statusFault(peer: Peer, what: string, status: number): Fault {
  const detail = status.toString(16).padStart(4, "0").toUpperCase();
  // PS3.4 C.4.1.1.4: A7xx out of resources.
  const code = status >>> 8 === 0xa7 ? "PEER_BUSY" : "PEER_REFUSED";
  return new Fault(code, `${whereOf(peer)} answered ${what} with status ${detail}`);
}

function secure({ tls, host }: Peer) {
  if (!tls) return {};
  if (tls.serverName !== undefined && tls.serverName !== host)
    throw new Fault(
      "CONFIG_INVALID",
      "a PACS that is asked by C-FIND or C-MOVE is connected to by the name in its certificate",
    );
  const { key, certificate: cert, ca } = tls;
  return { securityOptions: { key, cert, ca, rejectUnauthorized: true, ...tlsProfile } };
}

const textOf = (match: Match, keyword: string, absent = ""): string => {
  const value = match[keyword];
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return first === undefined || first === null || first === "" ? absent : String(first).replace(/[\0 ]+$/, "");
};

type Library = typeof import("dcmjs-dimse");
type Logger = { setLevel(level: "silent", persist: boolean): void };
type Dcmjs = { readonly log: Logger & { getLogger(name: string): Logger } };
let loaded: Library | undefined;

/** Loads the library once, as the CommonJS that it is, and silences it and dcmjs: both write values of patients to standard error. */
function library(): Library {
  if (loaded) return loaded;
  const require = createRequire(import.meta.url);
  const { log } = require("dcmjs") as Dcmjs;
  const dimse = require("dcmjs-dimse") as Library;
  for (const logger of [log, log.getLogger("validation.dcmjs"), dimse.log]) logger.setLevel("silent", false);
  loaded = dimse;
  return dimse;
}
