/** What there is to ask for: only what is served, with the verbs that are served. */
import { AGGREGATED_API_VERSION, AGGREGATED_GROUP, VERSION } from '@harikube/crds';
import { type ApiDocument, apiDocument } from './api-document.js';
import { KIND, PLURAL } from './status-answer.js';

const SINGULAR = 'registration';
const VERBS = ['create'];
const groupVersion = { groupVersion: AGGREGATED_API_VERSION, version: VERSION };

/** `/apis/GROUP/v1`. */
export const RESOURCE_LIST: ApiDocument = apiDocument({
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: AGGREGATED_API_VERSION,
  resources: [{ name: PLURAL, singularName: SINGULAR, namespaced: false, kind: KIND, verbs: VERBS }],
});

const group = { name: AGGREGATED_GROUP, versions: [groupVersion], preferredVersion: groupVersion };

/** `/apis/GROUP`. */
export const GROUP_OBJECT: ApiDocument = apiDocument({ kind: 'APIGroup', apiVersion: 'v1', ...group });

/** `/apis`. */
export const GROUP_LIST: ApiDocument = apiDocument({ kind: 'APIGroupList', apiVersion: 'v1', groups: [group] });

/** `/apis` in the form in which everything is in one answer. */
export const AGGREGATED_DISCOVERY: ApiDocument = apiDocument({
  kind: 'APIGroupDiscoveryList',
  apiVersion: 'apidiscovery.k8s.io/v2',
  metadata: {},
  items: [
    {
      metadata: { name: AGGREGATED_GROUP, creationTimestamp: null },
      versions: [
        {
          version: VERSION,
          resources: [
            {
              resource: PLURAL,
              responseKind: { group: AGGREGATED_GROUP, version: VERSION, kind: KIND },
              scope: 'Cluster',
              singularResource: SINGULAR,
              verbs: VERBS,
            },
          ],
          freshness: 'Current',
        },
      ],
    },
  ],
});

export const AGGREGATED_DISCOVERY_TYPE = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
