// The arithmetic of another threshold, and numbers as the report writes them. No document here.
"use strict";
globalThis.CxrExplore = (() => {
  const SCREENED = 100000;
  const inside = (low, value, high) => Math.min(high, Math.max(low, value));

  // A share with the bounds of its interval; bounds are null where there is none.
  const rate = (part, whole, [low, high]) => ({ value: part / whole, low, high });
  const bare = (value) => ({ value: Number.isFinite(value) ? value : null, low: null, high: null });

  // The range of a function of both rates over their intervals: it is monotone in each, so the corners suffice.
  function ranged(quantity, sensitivity, specificity, least, most) {
    const value = quantity(sensitivity.value, specificity.value);
    if (!Number.isFinite(value) || sensitivity.low === null || specificity.low === null) return bare(value);
    const corners = [];
    for (const first of [sensitivity.low, sensitivity.high])
      for (const second of [specificity.low, specificity.high]) corners.push(quantity(first, second));
    if (!corners.every(Number.isFinite)) return { ...bare(value), unbounded: true };
    const low = Math.max(least, Math.min(value, ...corners));
    return { value, low, high: Math.min(most, Math.max(value, ...corners)) };
  }

  function predictive(sensitivity, specificity, prevalence) {
    const healthy = 1 - prevalence;
    const ppv = (se, sp) => (prevalence * se) / (prevalence * se + healthy * (1 - sp));
    const npv = (se, sp) => (healthy * sp) / (healthy * sp + prevalence * (1 - se));
    // Both rise with both rates; a corner where nothing is flagged (or everything) has no value and cannot be poor.
    const over = (quantity) => {
      const value = quantity(sensitivity.value, specificity.value);
      if (!Number.isFinite(value) || sensitivity.low === null || specificity.low === null) return bare(value);
      const ends = [quantity(sensitivity.low, specificity.low), quantity(sensitivity.high, specificity.high)];
      if (!ends.every(Number.isFinite)) return bare(value);
      return { value, low: Math.max(0, Math.min(ends[0], value)), high: Math.min(1, Math.max(ends[1], value)) };
    };
    return { ppv: over(ppv), npv: over(npv) };
  }

  // People per 100,000 screened: everyone has a film, the flagged take a confirmatory test that is always right.
  function screened(sensitivity, specificity, prevalence) {
    const found = (se) => SCREENED * prevalence * se;
    const referred = (se, sp) => Math.min(found(se) + SCREENED * (1 - prevalence) * (1 - sp), SCREENED);
    const exact = { value: 0, low: 0, high: 0 };
    return {
      referred: ranged(referred, sensitivity, specificity, 0, SCREENED),
      avoided: ranged((se, sp) => SCREENED - referred(se, sp), sensitivity, specificity, 0, SCREENED),
      tests_per_case: ranged((se, sp) => referred(se, sp) / found(se), sensitivity, specificity, 1, Infinity),
      found: ranged(found, sensitivity, exact, 0, SCREENED),
      missed: ranged((se) => SCREENED * prevalence * (1 - se), sensitivity, exact, 0, SCREENED),
    };
  }

  // Minutes of reader time per 1,000 films; each rate is moved by itself, the two are combined in quadrature (MOVER).
  function effort(sensitivity, specificity, prevalence, seconds) {
    const scale = 1000 / 60;
    const flagged = (se, sp) => inside(0, prevalence * se + (1 - prevalence) * (1 - sp), 1);
    const minutes = (kind) => (se, sp) => {
      const share = flagged(se, sp);
      return scale * (share * seconds.positive[kind] + (1 - share) * seconds.negative[kind]);
    };
    const [without, shown] = [minutes("without_ai"), minutes("with_ai")];
    const moved = (quantity) => {
      const value = quantity(sensitivity.value, specificity.value);
      if (sensitivity.low === null || specificity.low === null) return bare(value);
      const steps = [
        [sensitivity.low, sensitivity.high].map((bound) => quantity(bound, specificity.value) - value),
        [specificity.low, specificity.high].map((bound) => quantity(sensitivity.value, bound) - value),
      ];
      const down = Math.hypot(...steps.map((step) => Math.min(0, ...step)));
      const up = Math.hypot(...steps.map((step) => Math.max(0, ...step)));
      return { value, low: value - down, high: value + up };
    };
    return {
      without_ai: moved(without),
      with_ai: moved(shown),
      difference: moved((se, sp) => shown(se, sp) - without(se, sp)),
    };
  }

  // Every number of the chapter at one stop of the slider and one prevalence.
  function numbers(data, stop, prevalence) {
    const { positives, negatives } = data;
    const [tp, fp] = [data.true_positive[stop], data.false_positive[stop]];
    const sensitivity = rate(tp, positives, data.sensitivity[stop]);
    const specificity = rate(negatives - fp, negatives, data.specificity[stop]);
    return {
      sensitivity,
      specificity,
      flagged: rate(tp + fp, positives + negatives, data.flagged[stop]),
      true_positive: bare(tp),
      false_negative: bare(positives - tp),
      false_positive: bare(fp),
      true_negative: bare(negatives - fp),
      ...predictive(sensitivity, specificity, prevalence),
      ...screened(sensitivity, specificity, prevalence),
      ...(data.seconds ? effort(sensitivity, specificity, prevalence, data.seconds) : {}),
    };
  }

  // The digits that Python prints: rounded from the exact binary value, ties to the even digit.
  function fixed(value, digits) {
    const exact = value.toFixed(100);
    const cut = exact.length - 100 + digits;
    const kept = exact.slice(0, digits ? cut : cut - 1);
    return /^50*$/.test(exact.slice(cut)) && "02468".includes(kept.at(-1)) ? kept : value.toFixed(digits);
  }

  // How a language writes numbers.
  function writer(format) {
    const written = (text, minus) => {
      const [whole, part] = text.split(".");
      const grouped = whole.replace(/\B(?=(\d{3})+$)/g, format.group);
      return (minus && /[1-9]/.test(text) ? "\u2212" : "") + grouped + (part ? format.decimal + part : "");
    };
    const decimal = (value, digits) => written(fixed(Math.abs(value), digits), value < 0);
    const percent = (share, digits) => decimal(100 * share, digits) + format.percent;
    const significant = (value, digits) => {
      if (value === 0) return "0";
      const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
      const text = fixed(Math.abs(value), places);
      return written(places ? text.replace(/\.?0+$/, "") : text, value < 0);
    };
    // As many decimals as the percentage needs, four at most.
    const percentage = (share) => {
      let digits = 0;
      while (digits < 4 && Math.abs(Number((100 * share).toFixed(digits)) - 100 * share) >= 1e-9) digits += 1;
      return percent(share, digits);
    };
    return { decimal, percent, percentage, significant };
  }

  return Object.freeze({ numbers, writer, fixed });
})();
