/**
 * Runs two measurements in turn, A B B A …, and returns medians and the ratio pair by pair. Higher figures are faster.
 *
 * @param warmUps - Runs of each that do not count: a server has compiled what it runs often long before it is in a hurry.
 */
export async function interleaved(ours, peer, runs = 7, warmUps = 1) {
  for (let run = 0; run < warmUps; run++) {
    await ours()
    await peer()
  }
  const pairs = []
  for (let run = 0; run < runs; run++) {
    if (run % 2 === 0) pairs.push([await ours(), await peer()])
    else pairs.push([await peer(), await ours()].reverse())
  }
  const ratios = pairs.map(([a, b]) => a / b).sort((a, b) => a - b)
  return {
    ours: median(pairs.map(([a]) => a)),
    peer: median(pairs.map(([, b]) => b)),
    ratio: median(ratios),
    spread: [ratios[0], ratios.at(-1)],
  }
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

/** 12,345/s */
export const perSecond = (value) => `${Math.round(value).toLocaleString('en')}/s`
