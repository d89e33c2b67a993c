/** The OpenAPI documents of the group, made of the same classes as the stored kind. */
import { AGGREGATED_GROUP, openApiSchema, type OpenApiSchema, RegistrationRequest, VERSION } from '@harikube/crds';
import { type ApiDocument, apiDocument } from './api-document.js';
import type { JsonSchema } from './json-schema.js';
import { META_SCHEMAS, schemaName } from './meta-schemas.js';
import { JSON_TYPE, YAML_TYPE } from './negotiation.js';
import { KIND, PLURAL } from './status-answer.js';

/** `info.harikube.webshop.product.api.v1.Registration`: names in the merged document of a cluster are everybody's. */
export const REGISTRATION_SCHEMA = [...AGGREGATED_GROUP.split('.').toReversed(), VERSION, KIND].join('.');
const GROUP_VERSION_KIND = { group: AGGREGATED_GROUP, version: VERSION, kind: KIND };
export const GROUP_PATH = `/apis/${AGGREGATED_GROUP}/${VERSION}`;
const TAG = 'webshop_v1';
const INFO = { title: 'HariKube webshop registrations', version: VERSION };
const COMPONENTS = '#/components/schemas/';
const DEFINITIONS = '#/definitions/';

interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path';
  readonly description: string;
  readonly required?: boolean;
}

const PRETTY: Parameter = {
  name: 'pretty',
  in: 'query',
  description:
    "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a browser or command-line HTTP tool (curl and wget).",
};
const NAME: Parameter = { name: 'name', in: 'path', required: true, description: `name of the ${KIND}` };
const CREATE_PARAMETERS: readonly Parameter[] = [
  {
    name: 'dryRun',
    in: 'query',
    description:
      'When present, indicates that modifications should not be persisted. An invalid or unrecognized dryRun directive will result in an error response and no further processing of the request. Valid values are: - All: all dry run stages will be processed',
  },
  {
    name: 'fieldManager',
    in: 'query',
    description:
      'fieldManager is a name associated with the actor or entity that is making these changes. The value must be less than or 128 characters long, and only contain printable characters, as defined by https://golang.org/pkg/unicode/#IsPrint.',
  },
  {
    name: 'fieldValidation',
    in: 'query',
    description:
      'fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown or duplicate fields. Valid values are: - Ignore, - Warn: a warning for each of them, which is the default, - Strict: a BadRequest error that names them all.',
  },
  {
    name: 'timeout',
    in: 'query',
    description: 'How long to wait for the result, such as 20s; not longer than 50s. What is not complete then goes on.',
  },
];
const RESPONSES: Readonly<Record<string, string>> = {
  400: 'Bad Request: it is not a Registration, or has a field that does not exist',
  401: 'Unauthorized',
  403: 'Forbidden',
  409: 'Conflict: the name, or the e-mail address, belongs to another registration',
  422: 'Unprocessable Entity: fields are missing or wrong; details.causes names each',
  429: 'Too Many Requests',
  504: 'Gateway Timeout: it is not complete yet and goes on; repeat the request to wait for it',
};

/** `/openapi/v3/apis/GROUP/v1`. */
export const OPEN_API_V3: ApiDocument = apiDocument(openApiV3({ hasPatch: true }));
/** `/openapi/v2`. */
export const OPEN_API_V2: ApiDocument = apiDocument(openApiV2());
/** `/openapi/v3`. */
export const OPEN_API_INDEX: ApiDocument = apiDocument({
  paths: { [GROUP_PATH.slice(1)]: { serverRelativeURL: `/openapi/v3${GROUP_PATH}?hash=${OPEN_API_V3.hash}` } },
});

/** For a page whose document lies so far below the root of the server: under a proxy the root may have a prefix. */
export function openApiForPage(root: string): ApiDocument {
  return apiDocument({ ...openApiV3({ hasPatch: false }), servers: [{ url: root }] });
}

/** The schemas by their names, in the form of OpenAPI v3. */
export function schemas(): Record<string, JsonSchema> {
  return { [REGISTRATION_SCHEMA]: registrationSchema(), ...META_SCHEMAS };
}

function registrationSchema(): JsonSchema {
  const { properties = {} } = openApiSchema(RegistrationRequest);
  const { apiVersion, kind, spec, status } = properties;
  const { password, ...others } = spec?.properties ?? {};
  return {
    description:
      'A person who registers for a company. The answer comes when Tenant, namespace and User are there. It is not stored: the password goes no further than its hash.',
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: plain(apiVersion),
      kind: plain(kind),
      metadata: {
        description: 'Its name, or the beginning of one in generateName.',
        default: {},
        allOf: [{ $ref: COMPONENTS + schemaName('ObjectMeta') }],
      },
      spec: {
        ...plain(spec),
        description: 'Who is to be registered.',
        properties: {
          ...Object.fromEntries(Object.entries(others).map(([name, schema]) => [name, plain(schema)])),
          password: {
            type: 'string',
            format: 'password',
            minLength: 8,
            maxLength: 64,
            description: `${password?.description?.split('.')[0] ?? ''}. It never comes back.`,
          },
        },
      },
      status: resultSchema(status?.properties ?? {}),
    },
    'x-kubernetes-group-version-kind': [GROUP_VERSION_KIND],
  };
}

function resultSchema({ tenant, namespace, user }: Partial<Record<string, OpenApiSchema>>): JsonSchema {
  return {
    type: 'object',
    description: 'What was made. It is not read from what is sent.',
    properties: {
      request: { type: 'string', description: 'Name of the RegistrationRequest that was made for it.' },
      uid: { type: 'string', description: 'Uid of this RegistrationRequest; Tenant, namespace and User are named after it.' },
      tenant: plain(tenant),
      namespace: plain(namespace),
      user: plain(user),
    },
  };
}

/** Without the rules that only the API server of the stored kind applies. */
function plain(schema: OpenApiSchema | undefined): JsonSchema {
  if (schema === undefined) return {};
  const { 'x-kubernetes-validations': _, properties, items, additionalProperties, ...rest } = schema;
  return {
    ...rest,
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, plain(each)])) }),
    ...(items === undefined ? {} : { items: plain(items) }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: plain(additionalProperties) }),
  };
}

function operations(): { path: string; id: string; description: string; parameters: readonly Parameter[] }[] {
  return [
    {
      path: `${GROUP_PATH}/${PLURAL}`,
      id: 'createWebshopV1Registration',
      description: `create a ${KIND}`,
      parameters: [PRETTY],
    },
    {
      path: `${GROUP_PATH}/${PLURAL}/{name}`,
      id: 'createWebshopV1NamedRegistration',
      description: `create the ${KIND} of this name`,
      parameters: [NAME, PRETTY],
    },
  ];
}

/**
 * kubectl leaves it to a server to say which fields are unknown only when it finds a PATCH that takes `fieldValidation`. Without one it looks for a
 * schema itself, and fails for everybody who may not list CustomResourceDefinitions: a registrar has better things to do. So the operation is
 * there, with the answer that it gives.
 */
function refusedPatch(parameter: (described: Parameter) => object): object {
  return {
    tags: [TAG],
    description: `not served: a ${KIND} is created and never changed`,
    operationId: 'patchWebshopV1NamedRegistration',
    parameters: CREATE_PARAMETERS.filter(({ name }) => name !== 'timeout').map(parameter),
    responses: { 405: { description: 'Method Not Allowed' } },
    'x-kubernetes-action': 'patch',
    'x-kubernetes-group-version-kind': GROUP_VERSION_KIND,
  };
}

function openApiV3({ hasPatch }: { readonly hasPatch: boolean }): object {
  const schema = { $ref: COMPONENTS + REGISTRATION_SCHEMA };
  const parameter = ({ name, in: place, description, required }: Parameter): object => ({
    name,
    in: place,
    description,
    ...(required === true ? { required } : {}),
    schema: { type: 'string', uniqueItems: true },
  });
  const paths = operations().map(({ path, id, description, parameters }) => [
    path,
    {
      post: {
        tags: [TAG],
        description,
        operationId: id,
        parameters: CREATE_PARAMETERS.map(parameter),
        requestBody: { content: { [JSON_TYPE]: { schema }, [YAML_TYPE]: { schema } }, required: true },
        responses: {
          201: {
            description: 'Created: Tenant, namespace and User are there',
            content: { [JSON_TYPE]: { schema }, [YAML_TYPE]: { schema } },
          },
          ...Object.fromEntries(Object.entries(RESPONSES).map(([code, text]) => [code, { description: text }])),
        },
        'x-kubernetes-action': 'post',
        'x-kubernetes-group-version-kind': GROUP_VERSION_KIND,
      },
      ...(hasPatch && parameters.includes(NAME) ? { patch: refusedPatch(parameter) } : {}),
      parameters: parameters.map(parameter),
    },
  ]);
  return { openapi: '3.0.0', info: INFO, paths: Object.fromEntries(paths) as object, components: { schemas: schemas() } };
}

function openApiV2(): object {
  const schema = { $ref: DEFINITIONS + REGISTRATION_SCHEMA };
  const parameter = ({ name, in: place, description, required }: Parameter): object => ({
    name,
    in: place,
    description,
    type: 'string',
    uniqueItems: true,
    ...(required === true ? { required } : {}),
  });
  const paths = operations().map(({ path, id, description, parameters }) => [
    path,
    {
      post: {
        description,
        consumes: [JSON_TYPE, YAML_TYPE],
        produces: [JSON_TYPE, YAML_TYPE],
        schemes: ['https'],
        tags: [TAG],
        operationId: id,
        parameters: [{ name: 'body', in: 'body', required: true, schema }, ...CREATE_PARAMETERS.map(parameter)],
        responses: {
          201: { description: 'Created: Tenant, namespace and User are there', schema },
          ...Object.fromEntries(Object.entries(RESPONSES).map(([code, text]) => [code, { description: text }])),
        },
        'x-kubernetes-action': 'post',
        'x-kubernetes-group-version-kind': GROUP_VERSION_KIND,
      },
      parameters: parameters.map(parameter),
    },
  ]);
  const definitions = Object.entries(schemas()).map(([name, each]) => [name, inV2(each)]);
  return { swagger: '2.0', info: INFO, paths: Object.fromEntries(paths) as object, definitions: Object.fromEntries(definitions) as object };
}

/** The same schema in the words of OpenAPI v2, as kube-apiserver converts its own. */
function inV2({ allOf, properties, items, additionalProperties, default: _, ...rest }: JsonSchema): JsonSchema {
  const [referred] = allOf ?? [];
  const $ref = (referred?.$ref ?? rest.$ref)?.replace(COMPONENTS, DEFINITIONS);
  return {
    ...rest,
    ...($ref === undefined ? {} : { $ref }),
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, inV2(each)])) }),
    ...(items === undefined ? {} : { items: inV2(items) }),
    ...(additionalProperties === undefined ? {} : { additionalProperties: inV2(additionalProperties) }),
  };
}
