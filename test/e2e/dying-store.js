// The real store, in a process that can be told to kill itself right before or right after a connection is saved.
const dist = new URL(process.env.ATOM_DIST ?? '../../dist/', import.meta.url)
const real = await import(new URL('persistence/create-store.js', dist).href)
const steps = { beforeSave: () => {}, afterSave: () => {} }

export const onSave = (given) => Object.assign(steps, given)

export function createStore(choice) {
  return new Proxy(real.createStore(choice), {
    get(target, name) {
      if (name !== 'saveConnection') return Reflect.get(target, name)
      return async (input) => {
        steps.beforeSave()
        const outcome = await target.saveConnection(input)
        steps.afterSave()
        return outcome
      }
    },
  })
}
