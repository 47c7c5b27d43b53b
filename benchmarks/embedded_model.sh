#!/bin/sh
# The runs behind the embedded model's card, but for the study's own (make study): sh benchmarks/embedded_model.sh DATA_DIR RUNS
set -e
data=$1
runs=$2
harness=${HARNESS:-icl-harness}
tasks=STSBenchmark,BIOSSES,SICK-R,STS12,STS14,STS16,SciFact,AmazonCounterfactualClassification,Banking77Classification,EmotionClassification
probe=MiniProbeSeen,MiniProbeUnseen
run() { "$harness" run --quiet --offline --data-dir "$data" "$@"; }
run --model embedded --tasks $probe --num-fewshot 0,3,5 --fewshot-seed 1,2,3 --instructions precise --output-dir "$runs/embedded-precise"
for model in static-bag tfidf bag-of-words all-MiniLM-L6-v2; do
  run --model $model --benchmark mini --tasks "$tasks" --num-fewshot 0 --output-dir "$runs/$model"
done
