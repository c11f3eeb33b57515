from t2v_helpers import cartoon

subject, action, place = cartoon.HELD_OUT[1]
unseen = cartoon.caption(cartoon.Labels(subject, action, place))
