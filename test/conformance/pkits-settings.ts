/** What NIST's PKITS asks of each policy test (sections 4.8 to 4.12): initial settings, and the verdict they lead to. */
import type { PolicySettings } from "../../envelope/policies.ts";

export type Asked = { readonly settings: PolicySettings; readonly isValid: boolean };

const nist = (number: number): string => `2.16.840.1.101.3.2.1.48.${number}`;
const asks = (isValid: boolean, settings: PolicySettings = {}): Asked => ({ settings, isValid });
const only = (...numbers: readonly number[]): PolicySettings => ({ acceptable: numbers.map(nist) });
const explicit = { requireExplicit: true } as const;

/** By the message's name without `Signed`; what is not here is asked with any policy, and its name says the verdict. */
export const asked: Readonly<Record<string, readonly Asked[]>> = {
  MissingCRLTest1: [asks(false)],
  AllCertificatesSamePolicyTest1: [
    asks(true, explicit),
    asks(true, { ...only(1), ...explicit }),
    asks(false, { ...only(2), ...explicit }),
    asks(true, { ...only(1, 2), ...explicit }),
  ],
  AllCertificatesNoPoliciesTest2: [asks(true), asks(false, explicit)],
  DifferentPoliciesTest3: [asks(true), asks(false, explicit), asks(false, { ...only(1, 2), ...explicit })],
  DifferentPoliciesTest4: [asks(false)],
  DifferentPoliciesTest5: [asks(false)],
  OverlappingPoliciesTest6: [asks(true), asks(true, only(1)), asks(false, only(2))],
  DifferentPoliciesTest7: [asks(false)],
  DifferentPoliciesTest8: [asks(false)],
  DifferentPoliciesTest9: [asks(false)],
  AllCertificatesSamePoliciesTest10: [asks(true), asks(true, only(1)), asks(true, only(2))],
  AllCertificatesAnyPolicyTest11: [asks(true), asks(true, only(1))],
  DifferentPoliciesTest12: [asks(false)],
  AllCertificatesSamePoliciesTest13: [asks(true, only(1)), asks(true, only(2)), asks(true, only(3))],
  AnyPolicyTest14: [asks(true, only(1)), asks(false, only(2))],
  UserNoticeQualifierTest15: [asks(true)],
  UserNoticeQualifierTest16: [asks(true)],
  UserNoticeQualifierTest17: [asks(true)],
  UserNoticeQualifierTest18: [asks(true, only(1)), asks(true, only(2))],
  UserNoticeQualifierTest19: [asks(true)],
  CPSPointerQualifierTest20: [asks(true, explicit)],
  ValidPolicyMappingTest1: [asks(true, only(1)), asks(false, only(2)), asks(false, { inhibitMapping: true })],
  InvalidPolicyMappingTest2: [asks(false), asks(false, { inhibitMapping: true })],
  ValidPolicyMappingTest3: [asks(false, only(1)), asks(true, only(2))],
  ValidPolicyMappingTest5: [asks(true, only(1)), asks(false, only(6))],
  ValidPolicyMappingTest6: [asks(true, only(1)), asks(false, only(6))],
  ValidPolicyMappingTest12: [asks(true, only(1)), asks(true, only(2))],
  inhibitAnyPolicyTest3: [asks(true), asks(false, { inhibitAny: true })],
};

/** 4.1.4 and 4.1.5: signed with DSA and SHA-1, which no setting here accepts. */
export const refusedAlgorithms: readonly string[] = ["ValidDSASignaturesTest4", "ValidDSAParameterInheritanceTest5"];
