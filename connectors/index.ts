/** The whole list of connectors: a new one is a line here. */
import type { Destination, Source } from "./connector.ts";
import { dicomSource } from "./dicom/scp.ts";
import { dicomDestination } from "./dicom/scu.ts";
import { directoryDestination, directorySource } from "./directory.ts";
import { mllpDestination, mllpSource } from "./mllp/index.ts";

export const sources: readonly Pick<Source, "name" | "summary" | "options" | "example">[] = [
  mllpSource,
  dicomSource,
  directorySource,
];
export const destinations: readonly Pick<Destination, "name" | "summary" | "options" | "example">[] = [
  mllpDestination,
  dicomDestination,
  directoryDestination,
];
