// Each pattern is read by two engines, JavaScript's with the flag `u` and Go's RE2 in the API server, and means the same in both. None of them can
// match one text in two ways: JavaScript's engine tries all of them, which takes for ever on a text made for it.

/** Letters, marks, spaces, apostrophes and hyphens, beginning with a letter. */
export const PERSON_NAME = /^\p{L}[\p{L}\p{M} '’-]*$/u;

/** No control characters: no line breaks, which would end a header of a mail. */
export const SINGLE_LINE = /^[^\p{Cc}]*$/u;

/** An address without a display name, quotes or comments; letters of every script, and at least two labels in the domain. */
export const EMAIL =
  /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*@(?:[\p{L}\p{M}\p{N}]+(?:-+[\p{L}\p{M}\p{N}]+)*\.)+\p{L}[\p{L}\p{M}\p{N}]*(?:-+[\p{L}\p{M}\p{N}]+)*$/u;

/** E.164: at most 15 digits, which are 16 characters with the plus. */
export const PHONE = /^\+?[1-9][0-9]{1,14}$/u;

/** ISO 3166-1, with two or three letters. */
export const COUNTRY = /^[A-Z]{2,3}$/u;

/** The PHC string of an argon2id hash; salt and hash in base64 without padding. */
export const ARGON2ID_HASH =
  /^[$]argon2id[$]v=19[$]m=[1-9][0-9]{0,7},t=[1-9][0-9]{0,2},p=[1-9][0-9]{0,2}[$][A-Za-z0-9+/]{11,86}[$][A-Za-z0-9+/]{16,128}$/u;

/** The name of an object where Kubernetes wants a DNS label or a subdomain. */
export const OBJECT_NAME = /^[a-z0-9]+(?:[-.]+[a-z0-9]+)*$/u;

/** A type of a condition: a name, or a name with the domain of its owner before it. */
export const CONDITION_TYPE = /^(?:[a-z0-9]+(?:[-.]+[a-z0-9]+)*\/)?[A-Za-z0-9]+(?:[-_.]+[A-Za-z0-9]+)*$/u;
export const CONDITION_REASON = /^[A-Za-z](?:[A-Za-z0-9_,:]*[A-Za-z0-9_])?$/u;

export const UID = /^[A-Za-z0-9-]+$/u;
