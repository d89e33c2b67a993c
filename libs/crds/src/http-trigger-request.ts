import { IsBoolean, IsIn, IsOptional, IsString, Matches } from 'class-validator';
import { Default, Describe, FieldRule, Nested, NestedMap, ObjectRule, TextLength, ValueMap } from './schema-facts.js';
import { BASIC_AUTH_USER, DATA_KEY, DNS_LABEL, HEADER_VALUE, HTTP_URL, MEDIA_TYPE, OBJECT_NAME, TOKEN, URL_PATH } from './text-patterns.js';

const MAX_HEADERS = 32;
const MAX_TEMPLATE = 4096;
/** Code points. */
const MAX_BODY_TEMPLATE = 65536;

const HEADER_NAMES = {
  rule: 'self.all(name, name.size() >= 1 && name.size() <= 128)',
  message: 'the name of a header has 1 to 128 characters',
};

/** A key of a Secret in the namespace of the trigger. */
export class SecretKeyReference {
  @Describe('Name of the Secret, in the namespace of the trigger.')
  @IsString()
  @TextLength(1, 253)
  @Matches(OBJECT_NAME, { message: 'must be the name of a Secret' })
  name!: string;

  @Describe('Key in the data of the Secret.')
  @IsString()
  @TextLength(1, 253)
  @Matches(DATA_KEY, { message: "must be a key of a Secret: letters, digits, '-', '_' and '.'" })
  key!: string;
}

@ObjectRule({ rule: 'has(self.static) != has(self.template)', message: 'exactly one of static and template is to be set' })
export class ServiceUri {
  @Describe('Path, and perhaps query, as they are.')
  @IsOptional()
  @IsString()
  @TextLength(1, 2048)
  @Matches(URL_PATH, { message: "must begin with '/' and have neither blanks nor other characters than ASCII's: encode them as %20" })
  static?: string;

  @Describe('Go template of the path, and perhaps the query; what it gives begins with a slash.')
  @IsOptional()
  @IsString()
  @TextLength(1, MAX_TEMPLATE)
  template?: string;
}

export class TargetService {
  @Describe('Name of the Service.')
  @IsString()
  @TextLength(1, 63)
  @Matches(DNS_LABEL, { message: 'must be the name of a Service' })
  name!: string;

  @Describe('Namespace of the Service. Absent: that of the trigger.')
  @IsOptional()
  @IsString()
  @TextLength(1, 63)
  @Matches(DNS_LABEL, { message: 'must be the name of a namespace' })
  namespace?: string;

  @Describe('Name of the port of the Service. Absent: the Service has one port.')
  @IsOptional()
  @IsString()
  @TextLength(1, 63)
  @Matches(DNS_LABEL, { message: 'must be the name of a port' })
  portName?: string;

  @Describe('Whether the Service is asked over TLS.')
  @IsIn(['http', 'https'])
  @Default('http')
  scheme!: 'http' | 'https';

  @Describe('What follows host and port. Absent: the path is /.')
  @IsOptional()
  @Nested(() => ServiceUri)
  uri?: ServiceUri;
}

@ObjectRule({
  rule: '[has(self.static), has(self.template), has(self.service)].filter(isSet, isSet).size() == 1',
  message: 'exactly one of static, template and service is to be set',
})
export class TriggerUrl {
  @Describe('The URL as it is.')
  @IsOptional()
  @IsString()
  @FieldRule({ rule: "!self.contains('{{')", message: 'is taken as it is: put a template, with {{ }}, into url.template' })
  @TextLength(8, 2048)
  @Matches(HTTP_URL, { message: 'must be a URL that begins with http:// or https://, in ASCII without blanks: encode other characters' })
  static?: string;

  @Describe('Go template of the URL, evaluated on the object.')
  @IsOptional()
  @IsString()
  @TextLength(1, MAX_TEMPLATE)
  template?: string;

  @Describe('A Service of the cluster.')
  @IsOptional()
  @Nested(() => TargetService)
  service?: TargetService;
}

export class BasicAuth {
  @Describe('Name of the user.')
  @IsString()
  @TextLength(1, 256)
  @Matches(BASIC_AUTH_USER, { message: 'must be one line without control characters and without a colon, which would end the name' })
  user!: string;

  @Describe('Where the password is.')
  @Nested(() => SecretKeyReference)
  secretKeyRef!: SecretKeyReference;
}

export class BearerAuth {
  @Describe('Where the token is.')
  @Nested(() => SecretKeyReference)
  secretKeyRef!: SecretKeyReference;
}

@ObjectRule({
  rule: 'has(self.certRef) == has(self.keyRef)',
  message: 'certRef and keyRef are set together: a certificate is of use with its key only',
})
export class TriggerTls {
  @Describe('Where the authorities are that the certificate of the server is to be of, in PEM. Absent: those that are trusted everywhere.')
  @IsOptional()
  @Nested(() => SecretKeyReference)
  caRef?: SecretKeyReference;

  @Describe('Where the certificate is that is shown to the server, in PEM.')
  @IsOptional()
  @Nested(() => SecretKeyReference)
  certRef?: SecretKeyReference;

  @Describe('Where the key of the certificate is, in PEM.')
  @IsOptional()
  @Nested(() => SecretKeyReference)
  keyRef?: SecretKeyReference;

  @Describe('Whether any certificate of the server will do. It works only where the operator allows it.')
  @IsBoolean()
  @Default(false)
  insecureSkipVerify!: boolean;
}

@ObjectRule({ rule: '!(has(self.basicAuth) && has(self.bearer))', message: 'at most one of basicAuth and bearer is to be set' })
export class TriggerAuth {
  @Describe('A user and a password.')
  @IsOptional()
  @Nested(() => BasicAuth)
  basicAuth?: BasicAuth;

  @Describe('A token.')
  @IsOptional()
  @Nested(() => BearerAuth)
  bearer?: BearerAuth;

  @Describe('Certificates.')
  @IsOptional()
  @Nested(() => TriggerTls)
  tls?: TriggerTls;
}

export class TriggerHeaders {
  @Describe('Headers as they are.')
  @IsOptional()
  @ValueMap(MAX_HEADERS, IsString(), TextLength(0, 4096), Matches(HEADER_VALUE, { message: 'must be one line without control characters' }))
  @FieldRule(HEADER_NAMES)
  static?: Record<string, string>;

  @Describe('Go templates of headers, evaluated on the object. They override those of the same name, whatever its case, in static.')
  @IsOptional()
  @ValueMap(MAX_HEADERS, IsString(), TextLength(0, MAX_TEMPLATE))
  @FieldRule(HEADER_NAMES)
  template?: Record<string, string>;

  @Describe('Headers whose values are in Secrets. They override those of the same name, whatever its case, in static and template.')
  @IsOptional()
  @NestedMap(MAX_HEADERS, () => SecretKeyReference)
  @FieldRule(HEADER_NAMES)
  fromSecretRef?: Record<string, SecretKeyReference>;
}

export class HmacOptions {
  @Describe('The hash function.')
  @IsIn(['SHA256', 'SHA512'])
  hashType!: 'SHA256' | 'SHA512';
}

export class BodySignature {
  @Describe('The header that holds the signature.')
  @IsString()
  @TextLength(1, 128)
  @Matches(TOKEN, { message: "must be the name of a header: letters, digits and some characters such as '-'" })
  @Default('X-Signature')
  header!: string;

  @Describe('Where the key is.')
  @Nested(() => SecretKeyReference)
  keySecretRef!: SecretKeyReference;

  @Describe('Where the key is that is being replaced: while it is named here, what is sent is signed by both. For scheme Timestamped.')
  @IsOptional()
  @Nested(() => SecretKeyReference)
  previousKeySecretRef?: SecretKeyReference;

  @Describe('How it is computed.')
  @Nested(() => HmacOptions)
  hmac!: HmacOptions;

  @Describe(
    'Body: the HMAC of the body in hexadecimal digits. Timestamped: t=SECONDS,v1=HMAC of "SECONDS.ID.BODY", which cannot be replayed later.',
  )
  @IsIn(['Body', 'Timestamped'])
  @Default('Body')
  scheme!: 'Body' | 'Timestamped';
}

export class TriggerBody {
  @Describe('Media type of the body.')
  @IsString()
  @TextLength(3, 256)
  @Matches(MEDIA_TYPE, { message: 'must be a media type such as application/json' })
  @Default('application/json')
  contentType!: string;

  @Describe('Go template of the body, evaluated on the object, such as {{ toJson . }}.')
  @IsString()
  @TextLength(1, MAX_BODY_TEMPLATE)
  template!: string;

  @Describe('A signature, by which the receiver knows who sent the body.')
  @IsOptional()
  @Nested(() => BodySignature)
  signature?: BodySignature;
}
