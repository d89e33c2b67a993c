import { API_VERSION, type HTTPTrigger, PLATFORM_NAMESPACE, TRIGGERS_GROUP, VERSION } from '@harikube/crds';

/** Each new Email to the function that sends it, for a start; it belongs to whoever edits it. */
export const EXAMPLE_HTTP_TRIGGER: HTTPTrigger = {
  apiVersion: `${TRIGGERS_GROUP}/${VERSION}`,
  kind: 'HTTPTrigger',
  metadata: { name: 'example-webshop-service-email', namespace: PLATFORM_NAMESPACE },
  spec: {
    resource: { apiVersion: API_VERSION, kind: 'Email' },
    eventTypes: ['ADDED'],
    sendInitialEvents: false,
    suspend: false,
    // Mails to one receiver after another would wait for the slowest mail server.
    concurrency: 10,
    url: {
      service: {
        name: 'email-function',
        namespace: PLATFORM_NAMESPACE,
        portName: 'http',
        scheme: 'http',
        uri: { static: '/function/email' },
      },
    },
    method: 'POST',
    body: { contentType: 'application/json', template: '{{ toJson . }}' },
    delivery: { timeout: '10s', retries: 3 },
  },
};
