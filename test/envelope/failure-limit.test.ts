import { expect, test } from "vitest";
import { failureLimit } from "../../envelope/index.ts";
import { later, now } from "./parties.ts";

const hour = 3600 * 1000;

test("a peer that failed twenty times within an hour is refused until the first failure is an hour old", () => {
  const limit = failureLimit();
  for (let count = 0; count < 20; count += 1) expect(limit.attempt("a", later(count * 1000))).toBeDefined();
  expect(limit.attempt("a", later(20_000))).toBeUndefined();
  expect(limit.attempt("a", later(hour - 1))).toBeUndefined();
  expect(limit.attempt("a", later(hour))).toBeDefined();
  expect(limit.attempt("a", later(hour))).toBeUndefined();
  expect(limit.attempt("a", later(hour + 1000))).toBeDefined();
});

test("each peer has its own", () => {
  const limit = failureLimit(1);
  expect([limit.attempt("a", now), limit.attempt("b", now)]).not.toContain(undefined);
  expect(limit.attempt("a", now)).toBeUndefined();
});

test("what succeeded does not count, however often it is said", () => {
  const limit = failureLimit(2);
  limit.attempt("a", now);
  for (let count = 0; count < 100; count += 1) {
    const attempt = limit.attempt("a", now);
    attempt?.succeeded();
    attempt?.succeeded();
    expect(attempt).toBeDefined();
  }
});

test("attempts at the same time are limited before any of them has failed", () => {
  const limit = failureLimit(4);
  const attempts = Array.from({ length: 10 }, () => limit.attempt("a", now));
  expect(attempts.filter((attempt) => attempt !== undefined)).toHaveLength(4);
});

test("failures while this clock was ahead do not count once it is set right: a peer would be refused until then", () => {
  const limit = failureLimit(2);
  const [one, other] = [limit.attempt("a", later(365 * 24 * hour)), limit.attempt("a", later(365 * 24 * hour))];
  expect([one, other]).not.toContain(undefined);
  expect(limit.attempt("a", later(365 * 24 * hour))).toBeUndefined();
  expect(limit.attempt("a", now)).toBeDefined();
  expect(limit.attempt("a", now)).toBeDefined();
  expect(limit.attempt("a", now)).toBeUndefined();
});
