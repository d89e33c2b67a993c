/** A page for people: Swagger UI over the OpenAPI document, here and, with the same relative addresses, behind kube-apiserver and `kubectl proxy`. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openApiForPage } from './open-api.js';

export interface Asset {
  readonly contentType: string;
  readonly body: Buffer;
  readonly hash: string;
}

/** The address has no slash at its end, so that what is beside it is named with the last part of the address. */
const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Webshop registrations</title>
    <link rel="icon" type="image/png" href="docs/favicon-32x32.png">
    <link rel="stylesheet" href="docs/swagger-ui.css">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="docs/swagger-ui-bundle.js"></script>
    <script src="docs/start.js"></script>
  </body>
</html>
`;

const START = `window.ui = SwaggerUIBundle({ url: 'docs/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null });
`;

/** Scripts come from this server alone; Swagger UI has its pictures and some of its styles in itself. */
export const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const FROM_SWAGGER_UI: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

export class DocsPage {
  readonly #assets = new Map<string, Asset>();
  readonly #root: string;

  /** `root` is the way from the page's documents up to the root of the server, such as `../`. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Null: there is none of this name. The page itself has the empty name. */
  asset(name: string): Asset | null {
    const known = this.#assets.get(name);
    if (known !== undefined) return known;
    const made = this.#load(name);
    if (made !== null) this.#assets.set(name, made);
    return made;
  }

  #load(name: string): Asset | null {
    switch (name) {
      case '':
        return asset('text/html; charset=utf-8', Buffer.from(PAGE));
      case 'start.js':
        return asset('text/javascript; charset=utf-8', Buffer.from(START));
      case 'openapi.json':
        return asset('application/json', Buffer.from(openApiForPage(this.#root).text));
    }
    const contentType = Object.hasOwn(FROM_SWAGGER_UI, name) ? FROM_SWAGGER_UI[name] : undefined;
    if (contentType === undefined) return null;
    const folder = dirname(fileURLToPath(import.meta.resolve('swagger-ui-dist/package.json')));
    return asset(contentType, readFileSync(join(folder, name)));
  }
}

function asset(contentType: string, body: Buffer): Asset {
  return { contentType, body, hash: createHash('sha256').update(body).digest('hex') };
}
