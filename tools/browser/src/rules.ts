import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadelta } from '@adakit/adadelta';
import { adadiff } from '@adakit/adadiff';
import { adafactor } from '@adakit/adafactor';
import { adagrad } from '@adakit/adagrad';
import { adam } from '@adakit/adam';
import { adamax } from '@adakit/adamax';
import { adamod } from '@adakit/adamod';
import { adan } from '@adakit/adan';
import { ademamix } from '@adakit/ademamix';
import { adopt } from '@adakit/adopt';
import { lamb } from '@adakit/lamb';
import { lars } from '@adakit/lars';
import { lion } from '@adakit/lion';
import { muon } from '@adakit/muon';
import { nadam } from '@adakit/nadam';
import { padam } from '@adakit/padam';
import { prodigy } from '@adakit/prodigy';
import { qhadam } from '@adakit/qhadam';
import { radam } from '@adakit/radam';
import { rmsprop } from '@adakit/rmsprop';
import { scheduleFreeAdamW, scheduleFreeSgd } from '@adakit/schedule-free';
import { sgd } from '@adakit/sgd';
import { shampoo } from '@adakit/shampoo';
import { signsgd } from '@adakit/signsgd';
import { yogi } from '@adakit/yogi';

/** Every rule that there is, by its name. */
export const rules = {
  adabelief,
  adabound,
  adadelta,
  adadiff,
  adafactor,
  adagrad,
  adam,
  adamax,
  adamod,
  adan,
  ademamix,
  adopt,
  lamb,
  lars,
  lion,
  muon,
  nadam,
  padam,
  prodigy,
  qhadam,
  radam,
  rmsprop,
  scheduleFreeAdamW,
  scheduleFreeSgd,
  sgd,
  shampoo,
  signsgd,
  yogi,
};

export type RuleName = keyof typeof rules;
