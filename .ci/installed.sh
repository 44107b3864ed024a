#!/usr/bin/env bash
# What a user types, in an empty folder, with mmstadapter as an installed package only.
#
#     PATH=VENV/bin:$PATH bash .ci/installed.sh FOLDER
set -euo pipefail
mkdir -p "$1"
cd "$1"

step() { printf '\n-- %s\n' "$*"; }
# Runs a command with its log in a file: the end of it on failure, the metrics on success.
quietly() {
    step "$@"
    "$@" > log.txt 2>&1 || { tail -n 40 log.txt; exit 1; }
    grep -o -E 'Epoch\((val|test)\).*acc/top1: [0-9.]+' log.txt | tail -n 1 || true
}

step 'the package is the installed one'
python -c 'import mmstadapter, sys; print(mmstadapter.__file__); assert sys.prefix in mmstadapter.__file__'
SHIPPED=$(python -c 'from mmstadapter import shipped; print(shipped.root())')

step 'mmstadapter --help; configs'
mmstadapter --help
mmstadapter configs
mim search mmstadapter --field config 2> /dev/null

step 'a small data set and a briefly trained image model'
mmstadapter prepare moving_digits --size small
mmstadapter prepare tiny_clip --steps 20

SHORT=(--cfg-options train_cfg.max_epochs=2 train_cfg.val_interval=2)
NAME=stadapter_vit-tiny_demo-motion
quietly mim train mmstadapter $NAME.py --gpus 0 "${SHORT[@]}"
quietly mim test mmstadapter $NAME.py --gpus 0 --checkpoint work_dirs/$NAME/epoch_2.pth --dump mim.pkl
quietly mmstadapter test $NAME.py work_dirs/$NAME/epoch_2.pth --dump command.pkl
quietly bash "$SHIPPED/tools/dist_test.sh" $NAME.py work_dirs/$NAME/epoch_2.pth 2 --dump two.pkl

step 'the three give the same scores'
python - mim.pkl command.pkl two.pkl << 'PYTHON'
import pickle, sys
one, *others = [[sample['pred_score'] for sample in pickle.load(open(file, 'rb'))] for file in sys.argv[1:]]
for other in others:
    assert len(one) == len(other) == 80
    assert max(float((a - b).abs().max()) for a, b in zip(one, other)) < 1e-5
print('ok')
PYTHON

cat > mine.py << 'PYTHON'
_base_ = 'mmstadapter::stadapter_vit-tiny_demo-digit.py'
model = dict(backbone=dict(bottleneck_dims=8))
train_cfg = dict(max_epochs=2, val_interval=2)
PYTHON
quietly mim train mmstadapter mine.py --gpus 2 --launcher pytorch
quietly mmstadapter train mine.py --resume --cfg-options train_cfg.max_epochs=3
grep -q 'resumed epoch: 2' log.txt
step 'all done'
