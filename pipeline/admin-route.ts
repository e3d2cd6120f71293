/** What a route of the admin port is: its schemas read the request and are told as OpenAPI. */
import type { Request, Response } from "express";
import type { z } from "zod";
import type { Health } from "./health.ts";
import type { Releases } from "./journal-actions.ts";
import type { Readiness } from "./readiness.ts";
import type { Reconciler } from "./reconcile.ts";
import type { Reloaded } from "./reload.ts";
import type { Site } from "./site.ts";

/** What the routes speak of. */
export type Running = {
  readonly site: Site;
  readonly releases: Releases;
  readonly reconciler: Reconciler;
  readonly readiness: Readiness;
  /** Systems that are asked by C-ECHO. */
  health(): Health;
  /** Reads the configuration anew. */
  reload(): Reloaded;
};

/** A request after its schemas; `response` is for those that write more than one JSON value */
export type Asked<Q, B> = {
  readonly running: Running;
  readonly id: string;
  readonly query: Q;
  readonly body: B;
  readonly request: Request;
  readonly response: Response;
};

export type Route = {
  readonly method: "get" | "post";
  /** Asks for no token. */
  readonly isOpen?: true;
  /** As OpenAPI writes it: /journal/{id}/release. */
  readonly path: string;
  readonly summary: string;
  readonly status: number;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** Media type of the answer. */
  readonly produces: string;
  answer(asked: Asked<unknown, unknown>): unknown;
};

type Draft<Q extends z.ZodType, B extends z.ZodType> = Pick<Route, "summary"> &
  Partial<Pick<Route, "status" | "produces" | "isOpen">> & {
    readonly query?: Q;
    readonly body?: B;
    answer(asked: Asked<z.output<Q>, z.output<B>>): unknown;
  };

/** `undefined` as an answer: the route has written it itself. */
const route =
  (method: Route["method"]) =>
  <Q extends z.ZodType = z.ZodType<undefined>, B extends z.ZodType = z.ZodType<undefined>>(
    path: string,
    draft: Draft<Q, B>,
  ): Route =>
    ({ status: 200, produces: "application/json", ...draft, method, path }) as Route;
export const get = route("get");
export const post = route("post");
