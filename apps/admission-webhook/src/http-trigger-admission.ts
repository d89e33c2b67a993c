import { isDeepStrictEqual } from 'node:util';
import {
  type AdmissionRequest,
  ALLOWED,
  type Cause,
  invalid,
  isDeleting,
  type JsonObject,
  specCauses,
  valueAt,
  type Verdict,
} from '@harikube/admission';
import { HTTPTrigger, type HTTPTriggerSpec, validateSpec } from '@harikube/crds';
import { Template } from '@harikube/go-template';
import { fieldSelectorProblem } from './field-selector.js';
import { headerNameProblem } from './header-name.js';
import { labelSelectorProblem } from './label-selector.js';
import { hasLiteralOrigin, pathProblem, urlProblem, withoutCredentials } from './target-url.js';

type Path = readonly string[];

interface Problem {
  readonly field: string;
  readonly value: string;
  readonly what: string;
  /** The parts of the object that make it one: where an update leaves them as they were, it is not held against it. */
  readonly of: readonly Path[];
}

const MOST_SHOWN = 256;
const AUTHORIZATION = 'authorization';

/**
 * Refuses what would fail for every event, where a schema has no words for it, and warns of what the operator of the triggers may not allow or what
 * is of no effect. The program that serves triggers judges them again, and says the same in their conditions: a trigger may have been written while
 * nobody answered here.
 */
export class HTTPTriggerAdmission {
  validate(request: AdmissionRequest): Verdict {
    const { operation, object, oldObject } = request;
    if (object === null || (operation !== 'CREATE' && operation !== 'UPDATE') || isDeleting(object)) return ALLOWED;
    const ofSchema = specCauses(HTTPTrigger, request, object);
    if (ofSchema.length > 0) return invalid(request, ofSchema);
    const spec = specOf(object);
    // What a former schema took is looked at no further.
    if (spec === null) return ALLOWED;
    const isHeld = ({ of }: Problem): boolean =>
      operation !== 'UPDATE' || !of.every((path) => isDeepStrictEqual(valueAt(object, path), valueAt(oldObject, path)));
    const problems = [...urlProblems(spec), ...headerProblems(spec), ...templateProblems(spec), ...selectorProblems(spec)].filter(isHeld);
    const warnings = warningsOf(spec);
    return problems.length === 0 ? { denial: null, warnings } : { ...invalid(request, problems.map(causeOf)), warnings };
  }
}

function specOf(object: JsonObject): HTTPTriggerSpec | null {
  return validateSpec(HTTPTrigger, object).length === 0 ? (object['spec'] as HTTPTriggerSpec) : null;
}

function causeOf({ field, value, what }: Problem): Cause {
  const shown = [...value].length > MOST_SHOWN ? `${[...value].slice(0, MOST_SHOWN).join('')}…` : value;
  return { reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(shown)}: ${what}`, field };
}

/** A problem of one field, whose path is its name too. */
function problemAt(path: Path, value: string, what: string | null): Problem[] {
  return what === null ? [] : [{ field: path.join('.'), value, what, of: [path] }];
}

function urlProblems({ url, deadLetter }: HTTPTriggerSpec): Problem[] {
  const ofUrl = (path: Path, text: string | undefined): Problem[] =>
    text === undefined ? [] : problemAt(path, withoutCredentials(text), urlProblem(text));
  const uri = url.service?.uri?.static;
  return [
    ...ofUrl(['spec', 'url', 'static'], url.static),
    ...(uri === undefined ? [] : problemAt(['spec', 'url', 'service', 'uri', 'static'], uri, pathProblem(uri))),
    ...ofUrl(['spec', 'deadLetter', 'url'], deadLetter?.url),
  ];
}

function headerProblems(spec: HTTPTriggerSpec): Problem[] {
  const ofMaps = (['static', 'template', 'fromSecretRef'] as const).map((map) =>
    Object.keys(spec.headers?.[map] ?? {}).map((name) => ({ name, path: ['spec', 'headers', map, name] })),
  );
  const signed = spec.body?.signature?.header;
  const ofSignature = signed === undefined ? [] : [{ name: signed, path: ['spec', 'body', 'signature', 'header'] }];
  const all = [...ofMaps.flat(), ...ofSignature];
  return [
    ...all.flatMap(({ name, path }) => problemAt(path, name, headerNameProblem(name))),
    ...authorizationProblems(spec, all),
    ...ofMaps.flatMap(twiceProblems),
  ];
}

interface NamedHeader {
  readonly name: string;
  readonly path: Path;
}

function authorizationProblems({ auth }: HTTPTriggerSpec, headers: readonly NamedHeader[]): Problem[] {
  const proof = auth?.basicAuth !== undefined ? 'basicAuth' : 'bearer';
  if (auth?.[proof] === undefined) return [];
  const what = `is set by spec.auth.${proof} already: leave one of them out`;
  return headers
    .filter(({ name }) => name.toLowerCase() === AUTHORIZATION)
    .map(({ name, path }) => ({ field: path.join('.'), value: name, what, of: [path, ['spec', 'auth', proof]] }));
}

/** Of the headers of one map none overrides another. */
function twiceProblems(headers: readonly NamedHeader[]): Problem[] {
  return headers.flatMap(({ name, path }, index) => {
    const other = headers.slice(0, index).find((before) => before.name.toLowerCase() === name.toLowerCase());
    if (other === undefined) return [];
    const what = `is ${other.name} in other letters: leave one of them out`;
    return [{ field: path.join('.'), value: name, what, of: [path, other.path] }];
  });
}

function templateProblems({ eventFilter, url, headers, body }: HTTPTriggerSpec): Problem[] {
  const templates: readonly (readonly [path: Path, text: string | undefined, whole?: (text: string) => string])[] = [
    [['spec', 'eventFilter'], eventFilter, (condition) => `{{if ${condition}}}true{{end}}`],
    [['spec', 'url', 'template'], url.template],
    [['spec', 'url', 'service', 'uri', 'template'], url.service?.uri?.template],
    ...Object.entries(headers?.template ?? {}).map(([name, text]) => [['spec', 'headers', 'template', name], text] as const),
    [['spec', 'body', 'template'], body?.template],
  ];
  return templates.flatMap(([path, text, whole = String]) =>
    text === undefined ? [] : problemAt(path, text, templateProblem(path.join('.'), whole(text))),
  );
}

/** In Go's words. */
function templateProblem(name: string, text: string): string | null {
  try {
    Template.parse(text, { name });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function selectorProblems({ labelSelectors, fieldSelectors }: HTTPTriggerSpec): Problem[] {
  const ofList = (list: string, selectors: readonly string[] | undefined, problem: (text: string) => string | null): Problem[] =>
    (selectors ?? []).flatMap((text, index) => {
      const what = problem(text);
      return what === null ? [] : [{ field: `spec.${list}[${index}]`, value: text, what, of: [['spec', list]] }];
    });
  return [
    ...ofList('labelSelectors', labelSelectors, labelSelectorProblem),
    ...ofList('fieldSelectors', fieldSelectors, fieldSelectorProblem),
  ];
}

function warningsOf({ resource, url, method, auth, body }: HTTPTriggerSpec): string[] {
  const origin = url.static ?? url.template ?? `${url.service?.scheme ?? 'http'}://`;
  const isPlain = /^\s*http:/i.test(origin);
  const isProven = auth?.basicAuth !== undefined || auth?.bearer !== undefined;
  const warnings: readonly (readonly [isGiven: boolean, warning: string])[] = [
    [/^[a-z]/.test(resource.kind), 'spec.resource.kind: kinds begin with a capital letter; the plural is the name of a resource'],
    [
      resource.apiVersion === 'v1' && resource.kind === 'Secret',
      'spec.resource: of Secrets the keys are sent; the values only if the operator allows that',
    ],
    [resource.kind === 'Event', 'spec.resource: failures of this trigger are told as Events, which are sent in turn'],
    [
      url.template !== undefined && !hasLiteralOrigin(url.template),
      'spec.url.template: its scheme and host are not fixed: nothing is sent unless the operator allows that',
    ],
    [
      auth?.tls?.insecureSkipVerify === true,
      'spec.auth.tls.insecureSkipVerify: nothing is sent unless the operator allows it; caRef is the safe way',
    ],
    [auth?.tls !== undefined && isPlain, 'spec.auth.tls: of no effect, since the URL is not https'],
    [isProven && isPlain && url.service === undefined, 'spec.auth: what proves who is asking goes over the network in the clear'],
    [body !== undefined && method === 'GET', 'spec.body: not sent, since the method is GET'],
    [
      body?.signature?.previousKeySecretRef !== undefined && body.signature.scheme !== 'Timestamped',
      'spec.body.signature.previousKeySecretRef: of no effect without the scheme Timestamped',
    ],
  ];
  return warnings.flatMap(([isGiven, warning]) => (isGiven ? [warning] : []));
}
