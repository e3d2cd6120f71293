/** What anybody may read whom the TLS hop lets in: health, and signed documents. No envelope is asked for, and none is given. */
import type { Express } from "express";

export type Published = {
  /** From the root. */
  readonly path: string;
  /** As it is now; `etag` changes with what it says. */
  document(): Promise<{ readonly octets: Uint8Array; readonly etag: string }>;
};

/** RFC 8551 3.2: SignedData as it is, not as mail. */
const mediaType = "application/pkcs7-mime; smime-type=signed-data";
const maxAgeSeconds = 300;

/** Serves them, and whether the site lives and is ready. */
export function publish(app: Express, published: readonly Published[], ready: () => boolean): void {
  app.get("/semrs/v1/health/live", (_request, response) => void response.json({ live: true }));
  app.get(
    "/semrs/v1/health/ready",
    (_request, response) => void response.status(ready() ? 200 : 503).json({ ready: ready() }),
  );
  for (const { path, document } of published)
    app.get(path, async (_request, response) => {
      const { octets, etag } = await document();
      response.setHeader("ETag", `"${etag}"`);
      response.setHeader("Cache-Control", `max-age=${maxAgeSeconds}`);
      response.setHeader("Content-Type", mediaType);
      // Answers 304 where If-None-Match names it (RFC 9110 13.1.2).
      response.send(Buffer.from(octets));
    });
}
