import type { OptimizerPlugin } from '@adakit/plugins';

/** What an optimizer can be set to, a line each. */
export function hyperparameterLines({ hyperparameters }: Pick<OptimizerPlugin, 'hyperparameters'>): string[] {
  return Object.entries(hyperparameters).map(([name, definition]) => {
    const standard = definition.default === undefined ? 'required' : `default ${definition.default}`;
    switch (definition.type) {
      case 'choice':
        return `${name}=${definition.words.join('|')}  (${standard})`;
      case 'flag':
        return `${name}=true|false  (${standard})`;
      case 'repeat':
        return `${name}=COUNT  (${standard})`;
      case 'number': {
        const { above, atLeast, below, atMost } = definition.atConstruction;
        const range = [
          above === undefined ? '' : `> ${above}`,
          atLeast === undefined ? '' : `>= ${atLeast}`,
          below === undefined ? '' : `< ${below}`,
          atMost === undefined ? '' : `<= ${atMost}`,
        ].filter((text) => text !== '');
        return `${name}=NUMBER  (${[standard, ...range].join(', ')})`;
      }
    }
  });
}
