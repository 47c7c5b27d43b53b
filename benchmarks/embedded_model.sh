#!/bin/sh
# The runs behind the embedded model's card: sh benchmarks/embedded_model.sh DATA_DIR RUNS
set -e
data=$1
runs=$2
harness=${HARNESS:-icl-harness}
offline=STSBenchmark,BIOSSES,STS16,Banking77Classification,EmotionClassification
probe=MiniProbeSeen,MiniProbeUnseen
run() { "$harness" run --quiet --offline --data-dir "$data" "$@"; }
for model in embedded tfidf static-bag bag-of-words all-MiniLM-L6-v2; do
  run --model $model --benchmark mini --num-fewshot 0 --output-dir "$runs/$model"
  run --model $model --tasks $offline --num-fewshot 0 --output-dir "$runs/$model"
done
for seed in 1 2 3; do
  run --model embedded --benchmark mini --num-fewshot 3 --fewshot-seed $seed --output-dir "$runs/embedded-seed$seed"
  run --model embedded --tasks $offline --num-fewshot 3 --fewshot-seed $seed --output-dir "$runs/embedded-seed$seed"
  run --model embedded --tasks $probe --num-fewshot 1,5,8 --fewshot-seed $seed --output-dir "$runs/embedded-seed$seed"
  run --model embedded --tasks $probe --num-fewshot 3,5 --instructions precise --fewshot-seed $seed --output-dir "$runs/embedded-precise-seed$seed"
done
run --model embedded --tasks $probe --num-fewshot 0 --instructions precise --output-dir "$runs/embedded-precise"
