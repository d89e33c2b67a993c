import { AGGREGATED_GROUP, GROUP } from '@harikube/crds';
import { ConnectionError, type Status, StatusError } from '@harikube/kube';
import { internalError, KIND, PLURAL, timedOut, tooManyRequests, unavailable } from './status-answer.js';

/** What kube-apiserver says about the kind that is stored, in the words of the kind that was asked for. */
const WORDS: readonly (readonly [stored: string, asked: string])[] = [
  [`RegistrationRequest.${GROUP}`, `${KIND}.${AGGREGATED_GROUP}`],
  [`registrationrequests.${GROUP}`, `${PLURAL}.${AGGREGATED_GROUP}`],
];
/** A text that is shorter may be a part of any sentence. */
const LEAST_SECRET = 4;
const WORDS_OF_RULE =
  '(?:is too short|is too long|has a line break|lacks |a small letter|a capital letter|a digit|a special character|, | and )+';
/** What admission says of a password that is not good, and repeats nothing of it: who sent `short` is told that it is too short. */
const PASSWORD_RULE = new RegExp(`(must have \\d+ to \\d+ characters, among them ${WORDS_OF_RULE}; it ${WORDS_OF_RULE})`);

/**
 * The answer for an error of the create of a RegistrationRequest. What the caller did wrong keeps its code, its reason and its causes; what is wrong
 * with the platform says what can be done, and no more: the original is the cause. `secret` is in no answer.
 */
export function ofOwnKind(error: unknown, secret: unknown): StatusError {
  if (error instanceof ConnectionError)
    return unavailable(
      'kube-apiserver does not answer at the moment; whether the registration has begun is not known: repeat it',
      1,
      error,
    );
  if (!(error instanceof StatusError)) return internalError('the registration could not be stored', error);
  const { code, message } = error;
  if (/failed calling webhook/.test(message)) return unavailable('the admission of registrations does not answer at the moment', 1, error);
  if (code === 401 || (code === 403 && /^\S+( "[^"]*")? is forbidden: User "[^"]*" cannot /.test(message)))
    return internalError('this server has no right to store registrations', error);
  if (code === 404) return unavailable('registrations cannot be stored: the kind RegistrationRequest is not installed', undefined, error);
  if (code === 429) return tooManyRequests();
  if (code === 504)
    return withCause(timedOut('the registration was not stored in time; whether it has begun is not known: repeat it'), error);
  if (code === 503) return unavailable('registrations cannot be stored at the moment', error.retryAfterSeconds ?? 1, error);
  if (code >= 500) return internalError('the registration could not be stored', error);
  return withCause(new StatusError(translated(error.status, secret), { code }), error);
}

function withCause(answer: StatusError, cause: unknown): StatusError {
  answer.cause = cause;
  return answer;
}

function translated(status: Status, secret: unknown): Status {
  const said = (text: string): string => {
    let words = text.replace(/^admission webhook "[^"]*" denied the request: /, '');
    for (const [stored, asked] of WORDS) words = words.replaceAll(stored, asked);
    if (typeof secret !== 'string' || secret.length < LEAST_SECRET) return words;
    // Every second part is a rule.
    return words
      .split(PASSWORD_RULE)
      .map((part, index) => (index % 2 === 1 ? part : part.replaceAll(secret, '***')))
      .join('');
  };
  const { message, details } = status;
  return {
    ...status,
    ...(message === undefined ? {} : { message: said(message) }),
    ...(details === undefined
      ? {}
      : {
          details: {
            ...details,
            ...(details.group === GROUP ? { group: AGGREGATED_GROUP } : {}),
            ...(details.kind === 'RegistrationRequest' ? { kind: KIND } : details.kind === 'registrationrequests' ? { kind: PLURAL } : {}),
            ...(details.causes === undefined
              ? {}
              : {
                  causes: details.causes.map((cause) => ({
                    ...cause,
                    ...(cause.message === undefined ? {} : { message: said(cause.message) }),
                  })),
                }),
          },
        }),
  };
}
