/** Asks a house for storage commitment as a PACS does, on an association of its own. */
import { expect } from "vitest";
import { commitmentClass, explicitLittle } from "../connectors/dicom/association.ts";
import { commitmentInstance, readCommitmentReport, writeCommitmentRequest } from "../connectors/dicom/commitment.ts";
import { associated, command, pdv, type ScriptedPeer } from "./dicom-peer.ts";

export const transactionUid = "2.25.9876543210";
export type References = readonly { sopClassUid: string; sopInstanceUid: string }[];

/** Asks, and is answered Success. */
export async function asked(references: References, port: number): Promise<ScriptedPeer> {
  const contexts = [{ id: 1, abstractSyntax: commitmentClass, transferSyntaxes: [explicitLittle] }];
  const peer = await associated(port, contexts);
  const request = { transactionUid, references };
  peer.send(
    command(
      1,
      [3, commitmentClass],
      [0x100, 0x0130],
      [0x110, 1],
      [0x800, 0],
      [0x1001, commitmentInstance],
      [0x1008, 1],
    ),
    pdv(1, false, true, writeCommitmentRequest(request, explicitLittle)),
  );
  expect((await peer.message()).command.get(0x900)).toBe(0);
  return peer;
}

export const eventRsp = (contextId: number): Buffer =>
  command(contextId, [2, commitmentClass], [0x100, 0x8100], [0x120, 1], [0x800, 0x101], [0x900, 0]);

/** By instance: null, or its Failure Reason. */
export async function commitment(references: References, port: number) {
  const peer = await asked(references, port);
  const report = await peer.message();
  const { committed, failed } = readCommitmentReport(report.dataSet, explicitLittle);
  peer.send(eventRsp(1));
  peer.socket.end();
  await peer.closed();
  return { type: report.command.get(0x1002), committed, failed };
}
