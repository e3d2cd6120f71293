/** What options of several verbs have in common. */

/** The values of one that may be given several times. */
export const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];
