// Renders chat templates. In the bundled web workers, the file template_engine_on_demand.ts replaces this one.
export { renderTemplate } from './python_template.js';

/** Loads what renderTemplate needs: nothing here. */
export async function loadTemplateEngine(): Promise<void> {}
