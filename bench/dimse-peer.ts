/** A C-STORE server of dcmjs-dimse, alone in this process: keeps each instance as a file, without fsync. `node bench/dimse-peer.ts PORT FOLDER`. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { dimseLibrary } from "./dimse-library.ts";

type Association = import("dcmjs-dimse").association.Association;
type CStoreRequest = import("dcmjs-dimse").requests.CStoreRequest;
type CStoreResponse = import("dcmjs-dimse").responses.CStoreResponse;

function listen(port: number, folder: string): void {
  const { Server, Scp, responses, constants } = dimseLibrary();

  class Peer extends Scp {
    override associationRequested(association: Association): void {
      for (const { id } of association.getPresentationContexts()) {
        const context = association.getPresentationContext(id);
        context.setResult(constants.PresentationContextResult.Accept, context.getTransferSyntaxUids()[0]);
      }
      this.sendAssociationAccept();
    }
    override cStoreRequest(request: CStoreRequest, done: (response: CStoreResponse) => void): void {
      const response = responses.CStoreResponse.fromRequest(request);
      request.getDataset()?.toFile(join(folder, `${request.getAffectedSopInstanceUid()}.dcm`), (error) => {
        response.setStatus(error ? constants.Status.ProcessingFailure : constants.Status.Success);
        done(response);
      });
    }
    override associationReleaseRequested(): void {
      this.sendAssociationReleaseResponse();
    }
  }
  new Server(Peer).listen(port);
}

const [, file = "", port = "", folder = ""] = process.argv;
if (import.meta.url === pathToFileURL(file).href) listen(Number(port), folder);
