/** Audits pages with Lighthouse in one Chromium instance, and prints the results as JSON. */
import { launch } from "chrome-launcher";
import lighthouse from "lighthouse";

const { chromium, flags, categories, visits } = JSON.parse(process.argv[2]);
const browser = await launch({ chromePath: chromium, chromeFlags: ["--headless=new", ...flags] });
const results = [];
try {
  // The first visit is not counted: server and browser are still warming up.
  for (const [position, { url, cookie }] of [visits[0], ...visits].entries()) {
    const { lhr } = await lighthouse(url, {
      port: browser.port,
      logLevel: "error",
      onlyCategories: categories,
      onlyAudits: ["total-byte-weight"],
      extraHeaders: cookie ? { Cookie: cookie } : {},
      // Lighthouse's default: estimates a slow phone and network from an unthrottled load.
      throttlingMethod: "simulate",
    });
    if (lhr.runtimeError) throw new Error(lhr.runtimeError.message);
    if (position === 0) continue;
    const number = (audit) => lhr.audits[audit]?.numericValue ?? null;
    const failed = Object.values(lhr.categories)
      .filter(({ id }) => id !== "performance")
      .flatMap(({ auditRefs }) => auditRefs)
      .filter(({ id, weight }) => weight > 0 && (lhr.audits[id].score ?? 1) < 1)
      .map(({ id }) => id);
    results.push({
      url: lhr.finalDisplayedUrl,
      scores: Object.fromEntries(
        Object.values(lhr.categories).map(({ id, score }) => [id, Math.round(score * 100)]),
      ),
      failed,
      bytes: number("total-byte-weight"),
      paint: number("largest-contentful-paint"),
      blocking: number("total-blocking-time"),
      speed: lhr.environment.benchmarkIndex,
      version: lhr.lighthouseVersion,
    });
  }
} finally {
  browser.kill();
}
console.log(JSON.stringify(results));
