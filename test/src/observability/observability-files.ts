import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const CHARTS = ['helm/harikube', 'helm/webshop'];

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly AlertRule[] }[];
}

interface Dashboard {
  readonly title: string;
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
}

/** The paths of the charts' rule files. */
export function ruleFiles(): string[] {
  return filesIn('files/alerts', '.yaml');
}

export function alertRules(): AlertRule[] {
  return ruleFiles().flatMap((file) => readRules(file).groups.flatMap(({ rules }) => rules));
}

export function readRules(file: string): RuleFile {
  return parse(readFileSync(file, 'utf8')) as RuleFile;
}

/** The expressions of the charts' dashboards, with what Grafana would put in the place of its variables. */
export function panelExpressions(): { readonly panel: string; readonly expr: string }[] {
  return filesIn('files/dashboards', '.json').flatMap((file) => {
    const { title, panels } = JSON.parse(readFileSync(file, 'utf8')) as Dashboard;
    return panels.flatMap((panel) =>
      panel.targets.map(({ expr }) => ({
        panel: `${title} / ${panel.title}`,
        expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$namespace', '.*'),
      })),
    );
  });
}

function filesIn(folder: string, ending: string): string[] {
  return CHARTS.flatMap((chart) => {
    const path = join(REPOSITORY, chart, folder);
    return readdirSync(path)
      .filter((name) => name.endsWith(ending))
      .map((name) => join(path, name));
  });
}
