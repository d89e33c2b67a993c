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

/** The name of a namespace, a Service or a port: a DNS label. */
export const DNS_LABEL = /^[a-z0-9]+(?:-+[a-z0-9]+)*$/u;

/** A name of DNS: labels, each of which begins and ends with a letter or a digit, and dots between them. */
export const SUBDOMAIN = /^[a-z0-9]+(?:-+[a-z0-9]+)*(?:[.][a-z0-9]+(?:-+[a-z0-9]+)*)*$/u;

/** A group, and perhaps a version behind it. */
export const GROUP_TEXT = /^[a-z0-9]+(?:-+[a-z0-9]+)*(?:[.][a-z0-9]+(?:-+[a-z0-9]+)*)*(?:\/v[0-9]+(?:(?:alpha|beta)[0-9]+)?)?$/u;

/** A namespace and the name of an object in it. */
export const SECRET_PLACE = /^[a-z0-9]+(?:-+[a-z0-9]+)*\/[a-z0-9]+(?:-+[a-z0-9]+)*(?:[.][a-z0-9]+(?:-+[a-z0-9]+)*)*$/u;

/** The path of a kind, such as `pods`, or a prefix of keys that begins with a slash. */
export const KEY_PREFIX =
  /^(?:\/[^\p{Cc}]*|[a-z0-9]+(?:-+[a-z0-9]+)*(?:[.][a-z0-9]+(?:-+[a-z0-9]+)*)*(?:\/[a-z0-9]+(?:-+[a-z0-9]+)*(?:[.][a-z0-9]+(?:-+[a-z0-9]+)*)*)*\/?)$/u;

/** What begins with a scheme; the rest is for the scheme to say. Without a backslash: it is part of a rule, since an endpoint is secret. */
export const ENDPOINT = /^[A-Za-z][A-Za-z0-9+.-]*:[/][/]/u;

/** `v1`, or a group before it as in `apps/v1`. */
export const API_VERSION_TEXT = /^(?:[a-z0-9]+(?:[-.]+[a-z0-9]+)*\/)?[a-z][a-z0-9]*(?:-+[a-z0-9]+)*$/u;

export const KIND_NAME = /^[A-Za-z][A-Za-z0-9]*(?:-+[A-Za-z0-9]+)*$/u;

/** A key of a Secret. */
export const DATA_KEY = /^[-._A-Za-z0-9]+$/u;

/** As Go writes a duration, such as `1m30s`; short enough for every sum of such parts to be one that Go can count. */
export const GO_DURATION = /^(?:[0-9]{1,6}(?:[.][0-9]{1,9})?(?:ns|us|µs|ms|s|m|h))+$/u;

/** An address of the web in ASCII; whether it is a URL is not for a pattern to say. */
export const HTTP_URL = /^https?:\/\/[!-~]+$/u;

/** What follows the host in a URL. */
export const URL_PATH = /^\/[!-~]*$/u;

/** RFC 9110's token: the name of a header. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/u;

/** A type and a subtype, and perhaps parameters. */
export const MEDIA_TYPE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: *;[ -~]*)?$/u;

/** The value of a header: no control characters but the tab. */
export const HEADER_VALUE = /^[\t\P{Cc}]*$/u;

/** RFC 7617: a user's name ends at the colon. */
export const BASIC_AUTH_USER = /^[^\p{Cc}:]+$/u;

/** A type of a condition: a name, or a name with the domain of its owner before it. */
export const CONDITION_TYPE = /^(?:[a-z0-9]+(?:[-.]+[a-z0-9]+)*\/)?[A-Za-z0-9]+(?:[-_.]+[A-Za-z0-9]+)*$/u;
export const CONDITION_REASON = /^[A-Za-z](?:[A-Za-z0-9_,:]*[A-Za-z0-9_])?$/u;

export const UID = /^[A-Za-z0-9-]+$/u;
