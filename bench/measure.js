/** Runs two measurements in turn, A B A B …, and returns medians and the ratio pair by pair. Higher figures are faster. */
export async function interleaved(ours, peer, runs = 7) {
  await ours()
  await peer()
  const pairs = []
  for (let run = 0; run < runs; run++) pairs.push([await ours(), await peer()])
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
