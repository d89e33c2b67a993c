import { ArrayMaxSize, ArrayMinSize, IsBoolean, IsInt, IsOptional, IsString, Matches, Max, Min } from 'class-validator';
import type { Resource } from '@harikube/kube';
import { CustomObject, Kind } from './kind.js';
import { TOPOLOGY } from './kind-group.js';
import { DEFAULT_TARGET_SECRET, TOPOLOGY_GROUP, VERSION } from './names.js';
import {
  type CelRule,
  Default,
  Describe,
  FieldRule,
  IsDuration,
  List,
  Nested,
  NestedList,
  ObjectRule,
  Secret,
  TextLength,
  ValueList,
} from './schema-facts.js';
import { SECRET_REFERENCE, SECRET_SCHEME } from './secret-reference.js';
import { DNS_LABEL, ENDPOINT, GROUP_TEXT, KEY_PREFIX, SECRET_PLACE, SINGLE_LINE, SUBDOMAIN } from './text-patterns.js';
import { MAX_BACKENDS, TopologyConfigStatus } from './topology-config-status.js';

const ONE_LINE = 'must be one line without control characters';
const MAX_PATH = 1024;
/** Longest name of a TopologyConfig: with its place before it, it is a key of a Secret. */
const MAX_NAME = 230;

const referenceRule = (field: string): string =>
  `!${field}.startsWith('${SECRET_SCHEME}') || ${field}.matches('${SECRET_REFERENCE.source}')`;
const REFERENCE_MESSAGE = 'a reference is written secret://NAMESPACE/NAME/KEY';
const REFERENCE_RULE: CelRule = { rule: referenceRule('self'), message: REFERENCE_MESSAGE };

/** To compile it is all that is asked: the rule fails where it cannot be compiled, and says why. */
const EXPRESSION_RULE: CelRule = { rule: "[''.matches(self)].size() == 1", message: 'must be an expression in the syntax of RE2' };

@ObjectRule({ rule: 'has(self.prefix) || has(self.key)', message: 'at least one of prefix and key is to be set' })
export class RegexpMatcher {
  @Describe('Expression (RE2) that a range of keys must match to be looked for here at all. It only narrows what key says.')
  @IsOptional()
  @IsString()
  @TextLength(1, 1024)
  @Matches(SINGLE_LINE, { message: ONE_LINE })
  @FieldRule(EXPRESSION_RULE)
  prefix?: string;

  @Describe('Expression (RE2) that a key matches to be stored here.')
  @IsOptional()
  @IsString()
  @TextLength(1, 1024)
  @Matches(SINGLE_LINE, { message: ONE_LINE })
  @FieldRule(EXPRESSION_RULE)
  key?: string;
}

export class PrefixMatcher {
  @Describe('A kind as its plural, such as pods, or a prefix of keys that begins with a slash.')
  @IsString()
  @TextLength(1, 1024)
  @Matches(KEY_PREFIX, { message: "must be a kind's plural in lower case, such as pods, or a prefix of keys that begins with '/'" })
  prefix!: string;
}

export class NamespaceMatcher {
  @Describe('The namespace whose objects are stored here.')
  @IsString()
  @TextLength(1, 63)
  @Matches(DNS_LABEL, { message: 'must be the name of a namespace' })
  namespace!: string;

  @Describe('Kinds as their plurals, such as pods, or users.product.example.com. Absent or empty: all.')
  @IsOptional()
  @ValueList(
    IsString(),
    TextLength(1, 253),
    Matches(SUBDOMAIN, { message: 'must be a plural in lower case, such as pods or users.product.example.com' }),
  )
  @ArrayMaxSize(256)
  @List({ type: 'set' })
  kinds?: string[];
}

export class CustomResourceMatcher {
  @Describe('Group of the kinds. A version behind it, as in stable.example.com/v1, is taken and means nothing.')
  @IsString()
  @TextLength(1, 270)
  @Matches(GROUP_TEXT, { message: 'must be a group such as stable.example.com, or one with a version such as stable.example.com/v1' })
  group!: string;

  @Describe('Kind as its plural, such as users. Absent or empty: every kind of the group.')
  @IsOptional()
  @IsString()
  @TextLength(0, 63)
  @Matches(/^(?:[a-z0-9]+(?:-+[a-z0-9]+)*)?$/u, { message: 'must be a plural in lower case, such as users' })
  kind?: string;
}

@ObjectRule({
  rule: 'has(self.certFile) == has(self.keyFile)',
  message: 'certFile and keyFile are set together: a certificate is of use with its key only',
})
export class TopologyTls {
  @Describe('File of the authorities that the certificate of the database is to be of, in PEM, or a reference secret://NAMESPACE/NAME/KEY.')
  @IsOptional()
  @IsString()
  @TextLength(1, MAX_PATH)
  @Matches(SINGLE_LINE, { message: ONE_LINE })
  @FieldRule(REFERENCE_RULE)
  caFile?: string;

  @Describe('File of the certificate that is shown to the database, in PEM, or a reference secret://NAMESPACE/NAME/KEY.')
  @IsOptional()
  @IsString()
  @TextLength(1, MAX_PATH)
  @Matches(SINGLE_LINE, { message: ONE_LINE })
  @FieldRule(REFERENCE_RULE)
  certFile?: string;

  @Describe('File of the key of the certificate, in PEM, or a reference secret://NAMESPACE/NAME/KEY.')
  @IsOptional()
  @IsString()
  @TextLength(1, MAX_PATH)
  @Matches(SINGLE_LINE, { message: ONE_LINE })
  @FieldRule(REFERENCE_RULE)
  keyFile?: string;

  @Describe('Whether any certificate of the database will do.')
  @IsOptional()
  @IsBoolean()
  skipVerify?: boolean;
}

export class TopologyPool {
  @Describe('Most connections that are kept while nobody uses them.')
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(100_000)
  maxIdle?: number;

  @Describe('Most connections. 0: as many as are needed.')
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(100_000)
  maxOpen?: number;

  @Describe('How long a connection is used. 0s: for ever.')
  @IsOptional()
  @IsDuration('0s', '87600h')
  maxLifeTime?: string;

  @Describe('How long a connection is kept while nobody uses it. 0s: for ever.')
  @IsOptional()
  @IsDuration('0s', '87600h')
  maxIdleLifeTime?: string;
}

@ObjectRule({
  // `namespace` is a word of CEL, and stands between underscores.
  rule: '[has(self.regexp), has(self.prefix), has(self.__namespace__), has(self.customresource)].filter(isSet, isSet).size() == 1',
  message: 'exactly one of customresource, namespace, prefix and regexp is to be set',
})
@ObjectRule({ rule: referenceRule('self.endpoint'), message: REFERENCE_MESSAGE, fieldPath: '.endpoint' })
@ObjectRule({
  rule: "!self.endpoint.startsWith('sqlite://') || !has(self.backendTLS)",
  message: 'backendTLS has no meaning for a sqlite endpoint; leave it out',
  fieldPath: '.backendTLS',
})
export class TopologyBackend {
  @Describe('Name of the backend, which no other one of the target has.')
  @IsString()
  @TextLength(1, 63)
  @Matches(DNS_LABEL, { message: "must be lower-case letters, digits and '-', at most 63" })
  @FieldRule({ rule: "self != 'main'", message: "'main' is the name of the default backend; choose another" })
  name!: string;

  @Describe('The database, such as sqlite:///db/users.db, which no other backend has, or a reference secret://NAMESPACE/NAME/KEY.')
  @IsString()
  @TextLength(0, 1024)
  @Matches(ENDPOINT, { message: 'must begin with a scheme, as in sqlite://PATH, or be a reference secret://NAMESPACE/NAME/KEY' })
  @Secret()
  endpoint!: string;

  @Describe('Takes the keys that match an expression.')
  @IsOptional()
  @Nested(() => RegexpMatcher)
  regexp?: RegexpMatcher;

  @Describe('Takes the objects of one kind, or the keys that begin with a text.')
  @IsOptional()
  @Nested(() => PrefixMatcher)
  prefix?: PrefixMatcher;

  @Describe('Takes the objects of a namespace.')
  @IsOptional()
  @Nested(() => NamespaceMatcher)
  namespace?: NamespaceMatcher;

  @Describe('Takes the objects of a group, or of one kind of it.')
  @IsOptional()
  @Nested(() => CustomResourceMatcher)
  customresource?: CustomResourceMatcher;

  @Describe('How the router proves to the database who it is, and how the database does.')
  @IsOptional()
  @Nested(() => TopologyTls)
  backendTLS?: TopologyTls;

  @Describe('Bounds of the connections to the database.')
  @IsOptional()
  @Nested(() => TopologyPool)
  connectionPool?: TopologyPool;

  @Describe("How often compacted rows are removed. Absent: as the router's own setting says.")
  @IsOptional()
  @IsDuration('0s', '87600h')
  compactInterval?: string;

  @Describe('How much the interval varies by chance, in percent.')
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(1000)
  compactIntervalJitter?: number;

  @Describe('How long one removal may take.')
  @IsOptional()
  @IsDuration('0s', '87600h')
  compactTimeout?: string;

  @Describe('Latest revisions that are kept.')
  @IsOptional()
  @IsInt()
  @Min(10)
  @Max(10_000)
  compactMinRetain?: number;

  @Describe('Most revisions that one removal takes.')
  @IsOptional()
  @IsInt()
  @Min(10)
  @Max(10_000)
  compactBatchSize?: number;

  @Describe('Whether selectors are left to the API server.')
  @IsOptional()
  @IsBoolean()
  disableStorageLevelFiltering?: boolean;
}

export class TopologyConfigSpec {
  @Describe('The Secret that the rules are merged into, and that the router reads, as namespace/name.')
  @IsString()
  @TextLength(3, 317)
  @Matches(SECRET_PLACE, { message: 'must be a namespace and a name of a Secret, as in harikube/topology-config' })
  @FieldRule({
    rule: 'self == oldSelf',
    message:
      'the target cannot be changed: make another TopologyConfig for the other target, and delete this one when its data is not needed',
    reason: 'FieldValueForbidden',
  })
  @Default(DEFAULT_TARGET_SECRET)
  targetSecret!: string;

  @Describe('Databases, each with the rule that leads to it, in the order in which the rules are tried.')
  @NestedList(() => TopologyBackend)
  @ArrayMinSize(1)
  @ArrayMaxSize(MAX_BACKENDS)
  // Their order decides, so that no two writers have a part each.
  @List({ type: 'atomic' })
  @FieldRule({
    rule: 'self.all(one, self.exists_one(other, other.name == one.name))',
    message: 'two backends have the same name',
  })
  @FieldRule({
    rule: 'self.all(one, self.exists_one(other, other.endpoint == one.endpoint))',
    message: 'two backends have the same endpoint',
  })
  backends!: TopologyBackend[];
}

const ofCondition = (type: string): string => `.status.conditions[?(@.type=="${type}")].status`;

@Kind({
  group: TOPOLOGY,
  plural: 'topologyconfigs',
  singular: 'topologyconfig',
  namespaced: true,
  shortNames: ['topo'],
  description: 'Says which objects are stored in which databases. The TopologyConfigs of a target are merged into one Secret.',
  columns: [
    { name: 'DeployStatus', type: 'string', jsonPath: '.status.deployStatus', description: 'Whether the rules are in force' },
    { name: 'TargetSecret', type: 'string', jsonPath: '.spec.targetSecret', description: 'The Secret that the rules are merged into' },
    { name: 'Active', type: 'string', jsonPath: ofCondition('Active'), description: 'Whether the router has confirmed the rules' },
    { name: 'Order', type: 'integer', jsonPath: '.status.deployOrder', description: 'Place among the rules of the target', priority: 1 },
    { name: 'Reason', type: 'string', jsonPath: '.status.deployStatusReason', description: 'Why the status is what it is', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was made' },
  ],
  selectable: ['spec.targetSecret'],
  // Who writes one decides where the data of all is; an endpoint may hold a password.
  roles: { viewer: 'separate', editor: 'separate' },
})
@ObjectRule({
  rule: `self.metadata.name.size() <= ${MAX_NAME}`,
  message: `the name is part of a key of the target Secret: at most ${MAX_NAME} characters`,
})
export class TopologyConfig extends CustomObject {
  @Describe('The rules, and where they go.')
  @Nested(() => TopologyConfigSpec)
  spec!: TopologyConfigSpec;

  @Describe('How far the rules are.')
  @Nested(() => TopologyConfigStatus)
  @Default({})
  status?: TopologyConfigStatus;
}

export const TOPOLOGY_CONFIGS: Resource<TopologyConfig> = {
  group: TOPOLOGY_GROUP,
  version: VERSION,
  kind: 'TopologyConfig',
  plural: 'topologyconfigs',
  namespaced: true,
};
