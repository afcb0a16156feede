"use strict";
// The networks' outputs and the card -> an answer, as bestiary.ensemble.answers gives it.

const TOP_CLASSES = 5, COVERAGE = "0.9", RISK = "0.05";

function answerOf(card, {probabilities, energy, logits}) {
  const {classes, thresholds, members} = card, count = classes.length;
  const ranked = [...classes.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b), first = ranked[0];
  const choices = members.map((_, member) => {
    const own = logits.subarray(member * count, (member + 1) * count);
    return own.indexOf(Math.max(...own));
  });
  const top = ranked.slice(0, TOP_CLASSES).map(place => ({label: classes[place], confidence: Math.min(1, probabilities[place])}));
  const answer = {
    label: top[0].label, confidence: top[0].confidence, top,
    member_agreement: choices.filter(choice => choice === first).length / members.length,
    prediction_set: null, accepted: null, unknown: null,
  };
  if (!thresholds) return answer;
  const limit = thresholds.prediction_sets[COVERAGE];
  answer.prediction_set = ranked.filter(place => place === first || 1 - probabilities[place] <= limit + 1e-12).map(place => classes[place]);
  answer.unknown = thresholds.unknown !== null && energy > thresholds.unknown;
  answer.accepted = !answer.unknown && probabilities[first] >= thresholds.accepted[RISK];
  return answer;
}
