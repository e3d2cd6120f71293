/** How often a TLS peer may fail: whoever needs thousands of answers to learn something gets twenty an hour. */

const hourMs = 3600 * 1000;

export type FailureLimit = {
  /**
   * One attempt of a peer, or undefined when it has failed too often. It counts as a failure from the beginning, so that
   * attempts at the same time are limited too, until it is said to have succeeded.
   */
  attempt(peer: string, now: Date): { succeeded(): void } | undefined;
};

/** At most so many failures within the window, for each peer: 20 an hour. Nothing is kept of a peer that does not fail. */
export function failureLimit(most = 20, windowMs = hourMs): FailureLimit {
  const attempts = new Map<string, readonly { readonly at: number }[]>();
  return {
    attempt: (peer, now) => {
      const since = now.getTime() - windowMs;
      // One of later than now was made while this clock was ahead.
      const recent = (attempts.get(peer) ?? []).filter(({ at }) => at > since && at <= now.getTime());
      if (recent.length >= most) return undefined;
      const own = { at: now.getTime() };
      attempts.set(peer, [...recent, own]);
      return {
        succeeded: () => {
          const others = (attempts.get(peer) ?? []).filter((each) => each !== own);
          if (others.length > 0) attempts.set(peer, others);
          else attempts.delete(peer);
        },
      };
    },
  };
}
