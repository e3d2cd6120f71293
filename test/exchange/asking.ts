/** Any house of a PKI as a program of its own that asks the registry, and opens what it answers. */
import { join } from "node:path";
import { contentOf, type Purpose, type Sealed } from "../../envelope/index.ts";
import { type Command, commandMediaType, readCommand } from "../../formats/command.ts";
import type { Found } from "../../formats/query.ts";
import { bytesOf, wire } from "../envelope/people.ts";
import { openExchange, type TestExchange, testPki } from "../sites.ts";
import { type Answer, openBetween, type Peer, peerOf } from "./peer.ts";

const paths = {
  register: "/registry/submissions",
  change: "/registry/changes",
  query: "/registry/queries",
  status: "/registry/status",
} as const;
type Asks = keyof typeof paths;

export type Said = Answer & {
  readonly found?: Found;
  readonly refusal?: Command<"refusal">;
  /** Part 1 of the answer. */
  readonly bytes: Buffer;
};

export type Asking = {
  /** Under the next message id unless one is given. */
  seal(org: string, purpose: Asks, command: Uint8Array, message?: string): Promise<Sealed>;
  /** Posts it over a connection of the house, and opens the answer with its keys. */
  post(org: string, purpose: Asks, sealed: Sealed): Promise<Said>;
  ask(org: string, purpose: Asks, command: Uint8Array): Promise<Said>;
};

/** Three sites, and houses that ask the registry. */
export async function openAsking(): Promise<{ readonly exchange: TestExchange; readonly asking: Asking }> {
  const pki = await testPki();
  const exchange = await openExchange(pki);
  const peer = peerOf(pki, exchange.env.B_PORT);
  return { exchange, asking: askingOf(pki, peer, () => exchange.env.REGISTRY_PORT) };
}

export function askingOf(pki: string, peer: Peer, port: () => string | undefined): Asking {
  const asking: Asking = {
    seal: async (org, purpose, command, message) =>
      await peer.push(
        {
          ...(message ? { message } : {}),
          purpose,
          sender: org,
          messageType: purpose,
          to: [{ org: "registry", certificate: peer.certificateOf("registry") }],
          content: [await contentOf(command, "command", commandMediaType)],
        },
        join(pki, org),
      ),
    post: async (org, purpose, sealed) => {
      const to = { as: join(pki, org), path: paths[purpose], port: port() };
      const answer = await peer.post(sealed.headers, await bytesOf(sealed.body()), to);
      if (answer.profile === undefined) return { ...answer, bytes: answer.body };
      const { purpose: kind, bytes } = await opened(pki, org, sealed, answer);
      return {
        ...answer,
        bytes,
        ...(kind === "response" ? { found: readCommand("found", bytes) } : {}),
        ...(kind === "refusal" ? { refusal: readCommand("refusal", bytes) } : {}),
      };
    },
    ask: async (org, purpose, command) => await asking.post(org, purpose, await asking.seal(org, purpose, command)),
  };
  return asking;
}

/** What the registry has sealed to this house, verified as the answer to what it has sent. */
async function opened(
  pki: string,
  org: string,
  { id, manifestSha256 }: Sealed,
  { headers, body }: Answer,
): Promise<{ readonly purpose: Purpose; readonly bytes: Buffer }> {
  const answer = await openBetween(pki, { from: "registry", to: org }, headers, wire(body), {
    purposes: ["response", "refusal", "receipt"],
    reply: { inReplyTo: id, requestDigest: manifestSha256, from: "registry" },
  });
  const first = await answer.parts().next();
  if (first.done === true) throw new Error("an answer has a part 1");
  return { purpose: answer.manifest.purpose, bytes: Buffer.from(await first.value.bytes(16_000_000)) };
}
