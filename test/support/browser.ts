import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const PATHS = [process.env.CHROMIUM_PATH, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** Real Chromium, headless. */
export function launchChromium(): Promise<Browser> {
  const executablePath = PATHS.find((path) => path !== undefined && existsSync(path))
  if (!executablePath)
    throw new Error('These tests need Chromium: install it (Debian: apt-get install chromium), or set CHROMIUM_PATH.')
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ]
  return chromium.launch({ executablePath, args })
}
