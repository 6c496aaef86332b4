export MUJOCO_GL=egl PYTHONPATH=$PWD/src OMP_WAIT_POLICY=PASSIVE
.venv/bin/python -m dreamx data render --out home --kinds village cottage castle island winter workshop --scenes 96 --clips 1 --frames 321 --width 128 --height 128 --processes 1 --first-seed 20000
.venv/bin/python -m dreamx data render --out open --scenes 320 --clips 1 --frames 121 --width 128 --height 128 --processes 2 --first-seed 30000
